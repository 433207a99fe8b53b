#!/bin/bash
#SBATCH --array=0-3
#SBATCH --dependency=aftercorr:77,singleton
#SBATCH --time=1:00:00
#SBATCH --mem=2G
./second_stage "$SLURM_ARRAY_TASK_ID"
