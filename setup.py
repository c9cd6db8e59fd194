"""Packages of tsssm and its compiled kernels; all other metadata is in setup.cfg."""

import tempfile
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

SOURCE = Path("tsssm/dynamics/kernels/source")
# no -ffast-math: it would undo the additions that round to integers
FLAGS = [
    "-O3",
    "-std=c11",
    "-D_POSIX_C_SOURCE=200809L",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wno-psabi",
    "-g0",
]


class BuildKernels(build_ext):
    """Compile with threads where the compiler has OpenMP."""

    def build_extension(self, ext: Extension) -> None:
        threads = ["-fopenmp"] if self._compiles("-fopenmp") else []
        ext.extra_compile_args = [*FLAGS, *threads]
        ext.extra_link_args = threads
        super().build_extension(ext)

    def get_ext_filename(self, fullname: str) -> str:
        """No module of Python's: under a name that nothing tries to import, one for all versions of Python."""
        return str(Path(*fullname.split(".")).with_suffix(".lib"))

    def _compiles(self, flag: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "empty.c")
            source.write_text("int main(void) { return 0; }\n")
            try:
                made = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=[flag])
                self.compiler.link_executable(made, "empty", output_dir=folder, extra_postargs=[flag])
            except (CompileError, LinkError):
                return False
        return True


# The data files stay at the root of the repository, where people look for them; a wheel carries them as
# tsssm/_datasets, since a top-level folder `datasets` in site-packages belongs to another project.
setup(
    packages=[*find_packages(include=["tsssm", "tsssm.*"]), "tsssm._datasets"],
    package_dir={"tsssm._datasets": "datasets"},
    # optional: without a compiler the package installs all the same, and runs its torch forms
    ext_modules=[
        Extension(
            "tsssm.dynamics.kernels.native",
            [str(SOURCE / "tsssm.c")],
            depends=[str(header) for header in sorted(SOURCE.glob("*.h"))],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
