#!/bin/bash
#SBATCH --job-name='it is "quoted"'   # a name with blanks
#SBATCH --time=1:00:00 --mem=2G       # two at once
#SBATCH --comment=a\#b --mail-user=
#SBATCH -N1 -n4
./work
