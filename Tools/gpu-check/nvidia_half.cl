// What libclc lacks for NVIDIA and NVIDIA's own compiler has: half's conversions, in each address space.
// Compiled by itself and linked into what is checked.

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

#define OVERLOADED __attribute__((overloadable, always_inline))

#define LOADS(space)                                                                                         \
  OVERLOADED float vload_half(size_t i, const space half *p) { return (float)p[i]; }                         \
  OVERLOADED float4 vload_half4(size_t i, const space half *p) {                                             \
    ushort4 v = ((const space ushort4 *)p)[i];                                                               \
    return (float4)((float)as_half(v.s0), (float)as_half(v.s1), (float)as_half(v.s2), (float)as_half(v.s3)); \
  }                                                                                                          \
  OVERLOADED float4 vloada_half4(size_t i, const space half *p) { return vload_half4(i, p); }                \
  OVERLOADED float8 vload_half8(size_t i, const space half *p) {                                             \
    return (float8)(vload_half4(2 * i, p), vload_half4(2 * i + 1, p));                                       \
  }                                                                                                          \
  OVERLOADED float8 vloada_half8(size_t i, const space half *p) { return vload_half8(i, p); }

#define STORES(space)                                                                                          \
  OVERLOADED void vstore_half_rte(float v, size_t i, space half *p) { p[i] = (half)v; }                        \
  OVERLOADED void vstore_half4_rte(float4 v, size_t i, space half *p) {                                        \
    ((space ushort4 *)p)[i] =                                                                                  \
        (ushort4)(as_ushort((half)v.s0), as_ushort((half)v.s1), as_ushort((half)v.s2), as_ushort((half)v.s3)); \
  }                                                                                                            \
  OVERLOADED void vstorea_half4_rte(float4 v, size_t i, space half *p) { vstore_half4_rte(v, i, p); }          \
  OVERLOADED void vstore_half8_rte(float8 v, size_t i, space half *p) {                                        \
    vstore_half4_rte(v.lo, 2 * i, p);                                                                          \
    vstore_half4_rte(v.hi, 2 * i + 1, p);                                                                      \
  }                                                                                                            \
  OVERLOADED void vstorea_half8_rte(float8 v, size_t i, space half *p) { vstore_half8_rte(v, i, p); }

LOADS(__private)
LOADS(__global)
LOADS(__local)
STORES(__private)
STORES(__global)
STORES(__local)
