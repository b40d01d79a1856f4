// Stored elements to floats and back. Plain loops over raw memory, which the compiler turns into vector code; on
// x86-64 without F16C `Float(Float16)` would be a call for each element. All little-endian, as the format and every
// supported machine are.

func convertFloat32(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
  UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
}

func convertFloat64(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
  let base = target.baseAddress!
  for index in 0..<target.count {
    (base + index).initialize(to: Float(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self)))
  }
}

func convertBFloat16(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
  let base = target.baseAddress!
  let words = source.baseAddress!.assumingMemoryBound(to: UInt16.self)
  for index in 0..<target.count {
    (base + index).initialize(to: Float(bitPattern: UInt32(words[index]) << 16))
  }
}

/// Exact for every half, subnormals, infinities and NaN payloads included.
func convertFloat16(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
  let base = target.baseAddress!
  let words = source.baseAddress!.assumingMemoryBound(to: UInt16.self)
  for index in 0..<target.count {
    let half = UInt32(words[index])
    let magnitude = half & 0x7FFF
    // A normal number: the exponent's bias grows from 15 to 127, and from 31 to 255 where it says infinity or NaN.
    let rebiased = (magnitude << 13) &+ (112 << 23)
    let normal = magnitude >= 0x7C00 ? rebiased &+ (112 << 23) : rebiased
    // A subnormal is a count of 2^-24: put below the point of 0.5, it leaves 0.5 to subtract, which is exact.
    let subnormal = (Float(bitPattern: (126 << 23) | magnitude) - 0.5).bitPattern
    let bits = magnitude < 0x0400 ? subnormal : normal
    (base + index).initialize(to: Float(bitPattern: bits | (half & 0x8000) << 16))
  }
}

/// Whether no element is NaN or infinity: those have every bit of the exponent set.
func areFinite(_ values: UnsafeBufferPointer<Float>) -> Bool {
  var largest: UInt32 = 0
  for value in values { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
  return largest < 0x7F80_0000
}

func widen<Stored: FixedWidthInteger>(
  _ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Int64>, _: Stored.Type
) {
  let base = target.baseAddress!
  for index in 0..<target.count {
    let value = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Stored>.size, as: Stored.self)
    (base + index).initialize(to: Int64(truncatingIfNeeded: value))
  }
}

/// A float's bits as a half, rounded to the nearest, ties to even; beyond the range infinity, NaN stays NaN.
func float16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
  let magnitude = bits & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 { return sign | 0x7E00 }
  if magnitude >= 0x4780_0000 { return sign | 0x7C00 }
  // Under 2^-14 the half is subnormal, a count of 2^-24: adding 0.5 rounds the float to that grid.
  if magnitude < 0x3880_0000 {
    return sign | UInt16(truncatingIfNeeded: (Float(bitPattern: magnitude) + 0.5).bitPattern &- (126 << 23))
  }
  let odd = (magnitude >> 13) & 1
  return sign | UInt16(truncatingIfNeeded: (magnitude &- (112 << 23) &+ 0xFFF &+ odd) >> 13)
}

/// A float's bits as a bfloat16, rounded to the nearest, ties to even; NaN stays NaN.
func bfloat16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
}
