#!/bin/bash
#SBATCH --job-name=cavity
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=64
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --partition=compute
#SBATCH --account=cfd-2027
#SBATCH --switches=1
#SBATCH --mem=0

module load openmpi openfoam
mpirun -np "$SLURM_NTASKS" icoFoam -parallel
