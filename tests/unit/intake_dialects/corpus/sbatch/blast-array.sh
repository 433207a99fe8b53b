#!/bin/bash
#SBATCH -J blast
#SBATCH -p short
#SBATCH -t 4:00:00
#SBATCH -c 4
#SBATCH --mem-per-cpu=2G
#SBATCH -a 1-500%20
#SBATCH -o blast_%A_%a.log

query=$(sed -n "${SLURM_ARRAY_TASK_ID}p" queries.txt)
blastp -query "$query" -db nr -num_threads "$SLURM_CPUS_PER_TASK" -out "out/$SLURM_ARRAY_TASK_ID.tsv"
