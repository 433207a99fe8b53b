#!/bin/bash
#SBATCH --array=0-100:10
#SBATCH --time=90
#SBATCH --mem=4G
#SBATCH --account=karst
python sweep.py --temperature "$SLURM_ARRAY_TASK_ID" --of "$SLURM_ARRAY_TASK_MAX"
