#!/bin/sh
#SBATCH --job=short
#SBATCH --part=debug
#SBATCH --cpus-per-t=2
#SBATCH --mem 500
#SBATCH --tasks-per-node=1
./work
