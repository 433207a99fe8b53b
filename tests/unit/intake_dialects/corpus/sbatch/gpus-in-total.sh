#!/bin/bash
#SBATCH --nodes=3
#SBATCH --gpus=8
#SBATCH --cpus-per-gpu=6
#SBATCH --mem-per-gpu=60G
#SBATCH --time=1-0
srun ./simulate
