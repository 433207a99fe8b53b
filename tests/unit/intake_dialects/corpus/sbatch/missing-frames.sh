#!/bin/bash
# the frames that failed last night
#SBATCH --job-name="re render"
#SBATCH --array=3,17,18,19,44,101-104
#SBATCH --cpus-per-task=16
#SBATCH --mem=30G
#SBATCH --time=6:00:00
#SBATCH --nice=200
#SBATCH --licenses=arnold:1
render --frame "$SLURM_ARRAY_TASK_ID" scene.ass
