#!/bin/bash
#SBATCH -N 2-8
#SBATCH --time=10 --mem=1G
#SBATCH --hint=nomultithread --threads-per-core=1
srun hostname
