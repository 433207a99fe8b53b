#!/bin/bash
#SBATCH --wekafs-scratch
#SBATCH --snapshot-every 15m
#SBATCH --time=10 --mem=1G
./work
