#!/bin/bash
#SBATCH --job-name=md-replicas
#SBATCH --array=0-47
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus=rtx_4090:1
#SBATCH --mem=16G
#SBATCH --time=23:59:59
#SBATCH --mail-type=NONE
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
work=/tmp/$USER/$SLURM_JOB_ID
mkdir -p "$work"
gmx mdrun -deffnm "replica$SLURM_ARRAY_TASK_ID" -ntomp "$OMP_NUM_THREADS"
