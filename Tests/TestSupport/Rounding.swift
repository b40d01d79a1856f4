import Tensors

extension ElementType {
  /// Half the distance between 1 and the next number: the largest relative error of rounding to nearest.
  public var unitRoundoff: Double {
    switch self {
    case .float32: return 0x1p-24
    case .float16: return 0x1p-11
    case .bfloat16: return 0x1p-8
    }
  }

  /// Half the smallest number above zero: the largest absolute error of rounding a tiny number.
  public var underflow: Double {
    switch self {
    case .float32, .bfloat16: return 0x1p-127
    case .float16: return 0x1p-25
    }
  }

  /// `value` rounded to the nearest number of the type, ties to even, and widened again.
  public func rounded(_ value: Float) -> Float {
    switch self {
    case .float32: return value
    case .float16: return Float(Float16(value))
    case .bfloat16:
      guard value.isFinite else { return value }
      let bits = value.bitPattern
      return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }
  }

  public func rounded(_ tensor: HostTensor) -> HostTensor {
    self == .float32 ? tensor : HostTensor(tensor.shape, tensor.values.map { rounded($0) })
  }
}
