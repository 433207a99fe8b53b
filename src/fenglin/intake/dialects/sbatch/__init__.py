"""Scripts for `sbatch`: `#SBATCH` lines in, native documents and notes out."""
