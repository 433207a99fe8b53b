#!/bin/bash
#SBATCH --dependency=afterok:120:121,afterany:j99
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --begin=now+2hours
#SBATCH --time=1:00:00
#SBATCH --mem=2G
./collect
