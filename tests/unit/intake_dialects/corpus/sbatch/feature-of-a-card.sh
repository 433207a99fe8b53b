#!/bin/bash
#SBATCH --constraint=a100-80gb
#SBATCH --gres=gpu:2
#SBATCH --time=unlimited --mem=1G
./work
