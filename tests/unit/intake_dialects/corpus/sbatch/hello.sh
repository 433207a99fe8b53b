#!/bin/bash
#SBATCH --job-name=hello
#SBATCH --time=00:05:00
#SBATCH --ntasks=1
#SBATCH --mem=200M

echo "hello from $(hostname), job $SLURM_JOB_ID"
