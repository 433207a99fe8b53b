#!/bin/bash
#SBATCH -M gz1,gz2
#SBATCH --time=10 --mem=1G
#SBATCH --reservation=maintenance
#SBATCH --nodelist=node042
./work
