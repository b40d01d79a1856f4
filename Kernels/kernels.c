#include "kernels.h"

// One line a source; the text comes from the file of that name at compile time.
static const char common_storage[] = {
#embed "Common/storage.cl"
};
static const char common_reduce[] = {
#embed "Common/reduce.cl"
};
static const char elementwise_convert[] = {
#embed "Elementwise/convert.cl"
};

#define SOURCE(name, text) {name, text, sizeof text}

static const KernelSource sources[] = {
    SOURCE("Common/storage.cl", common_storage),
    SOURCE("Common/reduce.cl", common_reduce),
    SOURCE("Elementwise/convert.cl", elementwise_convert),
};

KernelSource kernel_source_at(size_t index) {
  if (index < sizeof sources / sizeof *sources) return sources[index];
  return (KernelSource){0, 0, 0};
}
