#!/usr/bin/Rscript
#SBATCH --time=1:00:00
#SBATCH --mem=12G
#SBATCH --comment="figure 3 of the paper"
cat(Sys.getenv("SLURM_JOB_NAME"), "\n")
