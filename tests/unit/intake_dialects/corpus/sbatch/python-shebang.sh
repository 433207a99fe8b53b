#!/usr/bin/env python3
#SBATCH --job-name=py-direct
#SBATCH --time=10
#SBATCH --mem=1G
#SBATCH --array=5-9
import os
print("index", os.environ["SLURM_ARRAY_TASK_ID"])
