// What the loops share: instruction sets, storage types and the functions of one number.
#pragma once

#include <math.h>
#include <string.h>

#include "vector_loops.h"

// The set in use, counted from the plainest on: set when the program starts (instruction_set.c).
extern int chosen_set;

// A loop so defined is compiled once for each set:
//
//   LOOP(void, vector_add, (float *y, const float *x), (y, x)) { ... }
//
// Without `tune` the compiler would keep to half of v4's registers.
#define LOOP(result, name, parameters, arguments) LOOP_FOR_EACH_SET(, result, name, parameters, arguments)
#define STATIC_LOOP(result, name, parameters, arguments) LOOP_FOR_EACH_SET(static, result, name, parameters, arguments)

#ifdef __x86_64__
#define LOOP_FOR_EACH_SET(storage, result, name, parameters, arguments)                      \
  static inline __attribute__((always_inline)) result name##_any parameters;                 \
  __attribute__((target("arch=x86-64-v3,tune=x86-64"))) static result name##_v3 parameters { \
    return name##_any arguments;                                                             \
  }                                                                                          \
  __attribute__((target("arch=x86-64-v4,tune=x86-64"))) static result name##_v4 parameters { \
    return name##_any arguments;                                                             \
  }                                                                                          \
  storage result name parameters {                                                           \
    if (chosen_set == 2) return name##_v4 arguments;                                         \
    if (chosen_set == 1) return name##_v3 arguments;                                         \
    return name##_any arguments;                                                             \
  }                                                                                          \
  static inline __attribute__((always_inline)) result name##_any parameters
#else
#define LOOP_FOR_EACH_SET(storage, result, name, parameters, arguments) storage result name parameters
#endif

// Numbers that a loop converts at a time where they are not stored as float32: they stay in the first-level cache.
enum { block_size = 512 };

void widen_float16(float *y, const uint16_t *x, size_t count);
void narrow_float16(uint16_t *y, const float *x, size_t count);
void widen_bfloat16(float *y, const uint16_t *x, size_t count);
void narrow_bfloat16(uint16_t *y, const float *x, size_t count);

// `count` numbers from `offset` on, in place or brought into `scratch`.
static inline const float *load(const void *x, vector_type type, size_t offset, size_t count, float *scratch) {
  if (type == vector_float32) return (const float *)x + offset;
  if (type == vector_float16)
    widen_float16(scratch, (const uint16_t *)x + offset, count);
  else
    widen_bfloat16(scratch, (const uint16_t *)x + offset, count);
  return scratch;
}

// Where to write `count` numbers from `offset` on; `store` brings them home.
static inline float *target(void *y, vector_type type, size_t offset, float *scratch) {
  return type == vector_float32 ? (float *)y + offset : scratch;
}

static inline void store(void *y, vector_type type, size_t offset, size_t count, const float *values) {
  if (type == vector_float16)
    narrow_float16((uint16_t *)y + offset, values, count);
  else if (type == vector_bfloat16)
    narrow_bfloat16((uint16_t *)y + offset, values, count);
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static inline float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t float_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

// e^x within 1 ulp: x = n ln 2 + r, a polynomial for e^r (fitted over |r| <= ln 2 / 2, error 1.9e-9) and 2^n as the product of two
// powers, so that results beneath the normal numbers and infinity come out right. NaN stays NaN.
static inline float exponential(float x) {
  const float low = x < -104.0f ? -104.0f : x;
  const float z = low > 89.0f ? 89.0f : low;
  const float shifted = z * 0x1.715476p+0f + 0x1.8p+23f;  // the sum's last bits are n
  const float n = shifted - 0x1.8p+23f;
  const float r = (z - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // ln 2 in two parts
  float p = 1.3836829e-3f;
  p = p * r + 8.374822e-3f;
  p = p * r + 4.1668226e-2f;
  p = p * r + 0.1666642f;
  p = p * r + 0.49999992f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t whole = (int32_t)(float_to_bits(shifted) - 0x4b400000u);
  const int32_t half = whole >> 1;
  return p * bits_to_float((uint32_t)(half + 127) << 23) * bits_to_float((uint32_t)(whole - half + 127) << 23);
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// The normal distribution's Φ, and e^(-x²/2) by the way: Φ(-|x|) = e^(-x²/2) Q(1 / (1 + |x|/4)), with a polynomial Q fitted over
// |x| <= 14 (relative error 1.4e-8).
static inline float normal_distribution(float x, float *density) {
  const float e = exponential(-0.5f * x * x);
  const float t = 1.0f / (1.0f + 0.25f * fabsf(x));
  float q = 3.3948723e-2f;
  q = q * t - 0.19618756f;
  q = q * t + 0.39502403f;
  q = q * t - 0.33349749f;
  q = q * t + 0.30450884f;
  q = q * t - 2.0395063e-2f;
  q = q * t + 0.12157149f;
  q = q * t + 9.4819539e-2f;
  q = q * t + 0.10022908f;
  q = q * t - 2.1603987e-5f;
  const float tail = e * q;
  *density = e;
  return x < 0 ? tail : 1.0f - tail;
}

static inline float silu(float x) { return x * sigmoid(x); }

// The sigmoid and its slope σ(x) (1 - σ(x)), the latter without the difference, which loses digits where σ is near 1.
static inline float sigmoid_slope(float x, float *slope) {
  const float e = exponential(-fabsf(x));
  const float r = 1.0f / (1.0f + e);
  *slope = e * r * r;
  return x < 0 ? e * r : r;
}

static inline float silu_slope(float x) {
  float slope;
  const float s = sigmoid_slope(x, &slope);
  return s + x * slope;
}

static inline float gelu(float x) {
  float density;
  return x * normal_distribution(x, &density);
}

static inline float gelu_slope(float x) {
  float density;
  const float p = normal_distribution(x, &density);
  return p + x * density * 0.39894228f;
}
