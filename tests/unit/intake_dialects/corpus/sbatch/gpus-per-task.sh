#!/bin/bash
#SBATCH --ntasks=4
#SBATCH --gpus-per-task=v100:1
#SBATCH --cpus-per-task=5
#SBATCH --mem=64G
#SBATCH --time=5:30
#SBATCH --gpu-bind=closest
srun ./render_tiles
