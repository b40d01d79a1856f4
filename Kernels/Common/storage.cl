// How tensors are stored: STORAGE is 32 (float), 16 (IEEE half) or 17 (bfloat16). Arithmetic is in float.
//
//   storage_t, storage4_t, storage8_t     elements in memory; 16-bit types are bare bits, so no extension is needed
//   unpack, unpack4, unpack8              bits to floats
//   pack, pack4, pack8                    floats to bits, to nearest even; infinities and NaN stay what they are
//   LOAD(p, i), STORE(p, i, v)            element i of a global pointer
//   LOAD4(p, i), STORE4(p, i, v), LOAD8, STORE8
//                                         elements i ... of a global pointer in one access; i is a multiple of 4 or 8
//   vector_t, LOADV(p, i), STOREV         as many elements as VECTOR says, 8 or 1, for kernels that come in both widths
//
// half's conversions are vload_half and vstore_half, core since OpenCL 1.0. Where a compiler's library lacks them for
// private memory, NATIVE_HALF takes casts instead, which need cl_khr_fp16.

#ifndef STORAGE
#define STORAGE 32
#endif
#ifndef VECTOR
#define VECTOR 8
#endif

// bfloat16 is the upper half of a float.

static inline float bfloat_to_float(ushort bits) { return as_float((uint)bits << 16); }
static inline float4 bfloat4_to_float4(ushort4 bits) { return as_float4(convert_uint4(bits) << 16); }
static inline float8 bfloat8_to_float8(ushort8 bits) { return as_float8(convert_uint8(bits) << 16); }

// Adding just under half of the last place, and one more where that place is odd, rounds to nearest even. A NaN, which
// that could carry over into the sign, gets a quiet bit instead.
static inline ushort float_to_bfloat(float value) {
  uint bits = as_uint(value);
  uint rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (ushort)((isnan(value) ? bits | 0x400000u : rounded) >> 16);
}
static inline ushort4 float4_to_bfloat4(float4 value) {
  uint4 bits = as_uint4(value);
  uint4 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return convert_ushort4(select(rounded, bits | 0x400000u, isnan(value)) >> 16);
}
static inline ushort8 float8_to_bfloat8(float8 value) {
  uint8 bits = as_uint8(value);
  uint8 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return convert_ushort8(select(rounded, bits | 0x400000u, isnan(value)) >> 16);
}

#ifdef NATIVE_HALF

#pragma OPENCL EXTENSION cl_khr_fp16 : enable
static inline float half_to_float(ushort bits) { return (float)as_half(bits); }
static inline ushort float_to_half(float value) { return as_ushort((half)value); }
// Number by number: the conversions of vectors of half are what such a library lacks most often.
static inline float4 half4_to_float4(ushort4 bits) {
  return (float4)(half_to_float(bits.s0), half_to_float(bits.s1), half_to_float(bits.s2), half_to_float(bits.s3));
}
static inline float8 half8_to_float8(ushort8 bits) {
  return (float8)(half4_to_float4(bits.lo), half4_to_float4(bits.hi));
}
static inline ushort4 float4_to_half4(float4 value) {
  return (ushort4)(float_to_half(value.s0), float_to_half(value.s1), float_to_half(value.s2), float_to_half(value.s3));
}
static inline ushort8 float8_to_half8(float8 value) {
  return (ushort8)(float4_to_half4(value.lo), float4_to_half4(value.hi));
}

#else

static inline float half_to_float(ushort bits) { return vload_half(0, (const half *)&bits); }
static inline float4 half4_to_float4(ushort4 bits) { return vload_half4(0, (const half *)&bits); }
static inline float8 half8_to_float8(ushort8 bits) { return vload_half8(0, (const half *)&bits); }
static inline ushort float_to_half(float value) {
  ushort bits;
  vstore_half_rte(value, 0, (half *)&bits);
  return bits;
}
static inline ushort4 float4_to_half4(float4 value) {
  ushort4 bits;
  vstore_half4_rte(value, 0, (half *)&bits);
  return bits;
}
static inline ushort8 float8_to_half8(float8 value) {
  ushort8 bits;
  vstore_half8_rte(value, 0, (half *)&bits);
  return bits;
}

#endif

#if STORAGE == 32
typedef float storage_t;
typedef float4 storage4_t;
typedef float8 storage8_t;
#define unpack(bits) (bits)
#define unpack4(bits) (bits)
#define unpack8(bits) (bits)
#define pack(value) (value)
#define pack4(value) (value)
#define pack8(value) (value)
#else
typedef ushort storage_t;
typedef ushort4 storage4_t;
typedef ushort8 storage8_t;
#if STORAGE == 16
#define unpack half_to_float
#define unpack4 half4_to_float4
#define unpack8 half8_to_float8
#define pack float_to_half
#define pack4 float4_to_half4
#define pack8 float8_to_half8
#else
#define unpack bfloat_to_float
#define unpack4 bfloat4_to_float4
#define unpack8 bfloat8_to_float8
#define pack float_to_bfloat
#define pack4 float4_to_bfloat4
#define pack8 float8_to_bfloat8
#endif
#endif

#define LOAD(p, i) unpack((p)[i])
#define STORE(p, i, v) ((p)[i] = pack(v))
#define LOAD4(p, i) unpack4(*(__global const storage4_t *)((p) + (i)))
#define LOAD8(p, i) unpack8(*(__global const storage8_t *)((p) + (i)))
#define STORE4(p, i, v) (*(__global storage4_t *)((p) + (i)) = pack4(v))
#define STORE8(p, i, v) (*(__global storage8_t *)((p) + (i)) = pack8(v))

// The same of float tensors, whatever STORAGE is.
#define LOAD_FLOAT8(p, i) (*(__global const float8 *)((p) + (i)))
#define STORE_FLOAT8(p, i, v) (*(__global float8 *)((p) + (i)) = (v))

#if VECTOR == 8
typedef float8 vector_t;
#define LOADV LOAD8
#define STOREV STORE8
#define LOADV_FLOAT LOAD_FLOAT8
#define STOREV_FLOAT STORE_FLOAT8
#define LOADV_LOCAL(p, i) vload8(0, (p) + (i))
#define STOREV_LOCAL(p, i, v) vstore8(v, 0, (p) + (i))
#else
typedef float vector_t;
#define LOADV LOAD
#define STOREV STORE
#define LOADV_FLOAT(p, i) ((p)[i])
#define STOREV_FLOAT(p, i, v) ((p)[i] = (v))
#define LOADV_LOCAL(p, i) ((p)[i])
#define STOREV_LOCAL(p, i, v) ((p)[i] = (v))
#endif
