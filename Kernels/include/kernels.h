// The OpenCL sources, embedded in the binary.
#ifndef TI_GPU_KERNELS_H
#define TI_GPU_KERNELS_H

#include <stddef.h>

typedef struct {
  const char *name;  // path under Kernels/, such as "Normalization/group_norm.cl"
  const char *text;  // not terminated by zero
  size_t length;
} KernelSource;

// The source at `index`; a null name past the last.
KernelSource kernel_source_at(size_t index);

#endif
