// What the processor calls itself.
#include <string.h>

#include "vector_loops.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

void vector_processor_name(char *name) {
  memset(name, 0, vector_processor_name_size);
#ifdef __x86_64__
  // Three leaves of sixteen bytes each.
  unsigned words[12];
  if (__get_cpuid_max(0x80000000, 0) < 0x80000004) return;
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    unsigned *w = words + 4 * leaf;
    if (!__get_cpuid(0x80000002 + leaf, w, w + 1, w + 2, w + 3)) return;
  }
  memcpy(name, words, sizeof words);
#endif
}
