#!/bin/bash
#SBATCH --constraint="[rack1|rack2]"
#SBATCH --partition=a,b,c
#SBATCH --licenses=matlab@flex:2,stata
#SBATCH --time=10 --mem=1G
#SBATCH --wait --parsable -Q
./work
