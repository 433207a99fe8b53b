#!/bin/bash
#SBATCH --time=1:00:00
#SBATCH --time=2:00:00
#SBATCH --mem=4G
#SBATCH --mem-per-cpu=1G
#SBATCH -c 2
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --no-requeue
./work
