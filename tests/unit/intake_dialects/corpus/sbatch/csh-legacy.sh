#!/bin/tcsh
#SBATCH -N 1
#SBATCH -n 16
#SBATCH -t 48:00:00
#SBATCH -A phys
#SBATCH -q normal
#SBATCH -C haswell
setenv OMP_NUM_THREADS 1
mpirun -n $SLURM_NTASKS ./vasp
