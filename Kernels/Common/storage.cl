// How tensors are stored: STORAGE is 32 (float), 16 (IEEE half) or 17 (bfloat16). Arithmetic is in float.
//
//   storage_t, storage4_t, storage8_t     elements in memory; 16-bit types are bare bits, so no extension is needed
//   unpack, unpack4, unpack8              bits to floats
//   pack, pack4, pack8                    floats to bits, to nearest even; infinities and NaN stay what they are
//   LOAD(p, i), STORE(p, i, v)            element i of a global pointer
//   LOAD4(p, i), STORE4(p, i, v), LOAD8, STORE8
//                                         elements i ... of a global pointer in one access; i is a multiple of 4 or 8
//
// half's conversions are vload_half and vstore_half, core since OpenCL 1.0. Where a compiler's library lacks them for
// private memory, NATIVE_HALF takes casts instead, which need cl_khr_fp16.

#ifndef STORAGE
#define STORAGE 32
#endif

#if STORAGE == 32

typedef float storage_t;
typedef float4 storage4_t;
typedef float8 storage8_t;
inline float unpack(storage_t bits) { return bits; }
inline float4 unpack4(storage4_t bits) { return bits; }
inline float8 unpack8(storage8_t bits) { return bits; }
inline storage_t pack(float value) { return value; }
inline storage4_t pack4(float4 value) { return value; }
inline storage8_t pack8(float8 value) { return value; }

#else

typedef ushort storage_t;
typedef ushort4 storage4_t;
typedef ushort8 storage8_t;

#if STORAGE == 17

inline float unpack(storage_t bits) { return as_float((uint)bits << 16); }
inline float4 unpack4(storage4_t bits) { return as_float4(convert_uint4(bits) << 16); }
inline float8 unpack8(storage8_t bits) { return as_float8(convert_uint8(bits) << 16); }

// Adding half of the last place, less one where the bit above it is even, rounds to nearest even; a NaN could be carried over
// into the sign and is given a quiet bit instead.
inline storage_t pack(float value) {
  uint bits = as_uint(value);
  uint rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (ushort)((isnan(value) ? bits | 0x400000u : rounded) >> 16);
}
inline storage4_t pack4(float4 value) {
  uint4 bits = as_uint4(value);
  uint4 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return convert_ushort4(select(rounded, bits | 0x400000u, isnan(value)) >> 16);
}
inline storage8_t pack8(float8 value) {
  uint8 bits = as_uint8(value);
  uint8 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return convert_ushort8(select(rounded, bits | 0x400000u, isnan(value)) >> 16);
}

#elif defined(NATIVE_HALF)

#pragma OPENCL EXTENSION cl_khr_fp16 : enable
inline float unpack(storage_t bits) { return (float)as_half(bits); }
inline float4 unpack4(storage4_t bits) { return convert_float4(as_half4(bits)); }
inline float8 unpack8(storage8_t bits) { return convert_float8(as_half8(bits)); }
inline storage_t pack(float value) { return as_ushort((half)value); }
inline storage4_t pack4(float4 value) { return as_ushort4(convert_half4(value)); }
inline storage8_t pack8(float8 value) { return as_ushort8(convert_half8(value)); }

#else

inline float unpack(storage_t bits) { return vload_half(0, (const half *)&bits); }
inline float4 unpack4(storage4_t bits) { return vload_half4(0, (const half *)&bits); }
inline float8 unpack8(storage8_t bits) { return vload_half8(0, (const half *)&bits); }
inline storage_t pack(float value) {
  storage_t bits;
  vstore_half_rte(value, 0, (half *)&bits);
  return bits;
}
inline storage4_t pack4(float4 value) {
  storage4_t bits;
  vstore_half4_rte(value, 0, (half *)&bits);
  return bits;
}
inline storage8_t pack8(float8 value) {
  storage8_t bits;
  vstore_half8_rte(value, 0, (half *)&bits);
  return bits;
}

#endif
#endif

#define LOAD(p, i) unpack((p)[i])
#define STORE(p, i, v) ((p)[i] = pack(v))
#define LOAD4(p, i) unpack4(*(__global const storage4_t *)((p) + (i)))
#define LOAD8(p, i) unpack8(*(__global const storage8_t *)((p) + (i)))
#define STORE4(p, i, v) (*(__global storage4_t *)((p) + (i)) = pack4(v))
#define STORE8(p, i, v) (*(__global storage8_t *)((p) + (i)) = pack8(v))
