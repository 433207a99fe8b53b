#!/bin/bash
#SBATCH --export=ALL,OMP_NUM_THREADS=8,MODE=fast,HOME_DIR
#SBATCH --get-user-env
#SBATCH --chdir=/scratch/mei/run7
#SBATCH --input=params.txt
#SBATCH --time=10 --mem=1G
./work
