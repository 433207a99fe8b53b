#!/bin/bash
#SBATCH --time=10
 #SBATCH --mem=1G
# SBATCH --mem=2G
##SBATCH --mem=3G

set -eu
#SBATCH --mem=4G
#SBATCH --cpus-per-task=8
cat > inner.sh <<EOF
#!/bin/bash
#SBATCH --time=1
EOF
./work
