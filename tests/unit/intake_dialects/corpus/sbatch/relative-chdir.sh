#!/bin/bash
#SBATCH -D runs/%j
#SBATCH --time=10 --mem=1G
#SBATCH --output=/dev/null
./work
