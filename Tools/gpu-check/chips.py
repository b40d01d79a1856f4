"""The chips that kernels are compiled for: how, and what of a kernel each compiler tells."""

import dataclasses
import os
import re

import assembly
from tools import CLANG, INTEL, LIBCLC, NVDISASM, PTXAS, ROOT, WORK, run

STORAGES = {"f32": 32, "f16": 16, "bf16": 17}


@dataclasses.dataclass
class Compiled:
    """A kernel as one chip has it."""
    registers: int  # of an item
    spills: int  # registers or bytes, as the compiler counts them
    stack: int  # bytes of an item: beyond none is a register array that did not stay in registers
    local: int  # bytes of a group
    occupancy: int  # waves that a unit's scheduler holds at a time, by registers alone
    loops: list = dataclasses.field(default_factory=list)  # the outermost
    code: list = dataclasses.field(default_factory=list)


def options(storage, defines):
    return ["-x", "cl", "-cl-std=CL1.2", "-cl-mad-enable", "-O3", "-nogpulib", "-Xclang", "-finclude-default-header",
            f"-DSTORAGE={STORAGES[storage]}", *(f"-D{define}" for define in defines)]


def link(library):
    return ["-Xclang", "-mlink-builtin-bitcode", "-Xclang", library]


class AMD:
    def __init__(self, name):
        self.name = name

    def compile(self, file, storage, defines):
        stem = file.with_suffix(f".{self.name}")
        target = ["-target", "amdgcn--amdhsa", f"-mcpu={self.name}", *link(LIBCLC / "amdgcn--amdhsa.bc")]
        compiled = run([CLANG, *options(storage, defines), *target, "-Rpass-analysis=kernel-resource-usage",
                        "-S", file, "-o", f"{stem}.s"])
        if compiled.returncode != 0:
            return {}, [compiled.stderr.strip()]
        run([CLANG, "-target", "amdgcn--amdhsa", f"-mcpu={self.name}", "-nogpulib", "-c", f"{stem}.s", "-o", f"{stem}.o"])
        linked = run(["ld.lld-19", "-shared", "--no-undefined", f"{stem}.o", "-o", f"{stem}.hsaco"])
        problems = [linked.stderr.strip()] if linked.returncode != 0 else []
        with open(f"{stem}.s") as text:
            machine = assembly.read_amd(text.read())
        kernels = {}
        for part in compiled.stderr.split("Function Name: ")[1:]:
            kernel = part.split()[0]
            numbers = dict(re.findall(r"remark:\s+([A-Za-z ]+?)(?: \[[^\]]*\])?: (\w+)", part))
            if numbers["Dynamic Stack"] != "False":
                problems.append(f"{kernel}: a stack of unknown size")
            code, labels = machine.get(kernel, ([], {}))
            kernels[kernel] = Compiled(
                int(numbers["VGPRs"]), int(numbers["VGPRs Spill"]) + int(numbers["SGPRs Spill"]), int(numbers["ScratchSize"]),
                int(numbers["LDS Size"]), int(numbers["Occupancy"]), assembly.loops(code, labels), code)
        return kernels, problems


class NVIDIA:
    """What NVIDIA's driver compiles: it does not report cl_khr_fp16, and converts half itself."""

    def __init__(self, name):
        self.name = name

    target = ["-target", "nvptx64-unknown-nvidiacl", "-Xclang", "-target-cpu", "-Xclang", "sm_75", "-Xclang", "-target-feature",
              "-Xclang", "+ptx75"]

    @classmethod
    def conversions(cls):
        library = WORK / "nvidia_half.bc"
        made = run([CLANG, *options("f16", []), *cls.target, "-Xclang", "-cl-ext=+cl_khr_fp16", "-emit-llvm", "-c",
                    ROOT / "Tools/gpu-check/nvidia_half.cl", "-o", library])
        assert made.returncode == 0, made.stderr
        return library

    def compile(self, file, storage, defines):
        stem = file.with_suffix(f".{self.name}")
        compiled = run([CLANG, *options(storage, defines), *self.target, *link(WORK / "nvidia_half.bc"),
                        *link(LIBCLC / "nvptx64--nvidiacl.bc"), "-S", file, "-o", f"{stem}.ptx"])
        if compiled.returncode != 0:
            return {}, [compiled.stderr.strip()]
        made = run([PTXAS, "-v", f"-arch={self.name}", f"{stem}.ptx", "-o", f"{stem}.cubin"])
        if made.returncode != 0:
            return {}, [made.stderr.strip()]
        # A call that ptxas leaves open is an external function of the PTX.
        with open(f"{stem}.ptx") as text:
            calls = re.findall(r"^\.extern \.func.*?(\w+)\s*$", text.read(), re.M)
        problems = [f"{call} is not resolved" for call in calls]
        machine = assembly.read_nvidia(run([NVDISASM, "-c", f"{stem}.cubin"]).stdout)
        kernels = {}
        for part in made.stderr.split("Compiling entry function '")[1:]:
            kernel = part.split("'")[0]
            number = lambda pattern: int((re.search(pattern, part) or [0, 0])[1])
            registers = number(r"Used (\d+) registers")
            code, labels = machine.get(kernel, ([], {}))
            # Registers are given to a warp by 256.
            occupancy = min(12, 512 // (-(-registers // 8) * 8))
            kernels[kernel] = Compiled(
                registers, number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes smem"),
                occupancy, assembly.loops(code, labels), code)
        return kernels, problems


class Intel:
    """Arc by Intel's offline compiler; it tells spills and no more. The build option is the one that the program asks for."""
    name = "dg2"

    @staticmethod
    def missing():
        return not (INTEL / "usr/bin/ocloc").exists()

    def compile(self, file, storage, defines):
        folder = file.with_suffix(".dg2")
        folder.mkdir()
        build = f"-cl-std=CL1.2 -cl-mad-enable -cl-intel-256-GRF-per-thread -DSTORAGE={STORAGES[storage]} " + " ".join(f"-D{define}" for define in defines)
        environment = dict(os.environ, LD_LIBRARY_PATH=str(INTEL / "usr/lib/x86_64-linux-gnu"), IGC_ShaderDumpEnable="1",
                           IGC_DumpToCustomDir=str(folder))
        made = run([INTEL / "usr/bin/ocloc", "compile", "-file", file, "-device", "acm-g10", "-options", build, "-out_dir", folder],
                   env=environment)
        if made.returncode != 0:
            return {}, [made.stdout.strip() or made.stderr.strip()]
        kernels = {}
        for listing in folder.glob("*.asm"):
            text = listing.read_text()
            kernel = re.search(r"^//\.kernel (\w+)", text, re.M)
            spill = re.search(r"^//\.spill size (\d+)", text, re.M)
            registers = re.search(r"numGRF=(\d+)", text)
            if kernel:
                # Each width that was tried has a listing; what was given up for its spills, another without.
                found = kernels.setdefault(kernel.group(1), Compiled(int(registers.group(1)), 0, 0, 0, 0))
                found.spills = max(found.spills, int(spill.group(1)) if spill else 0)
        return kernels, []
