import Tensors

extension Picture {
  /// `[height, width, 3]` in -1...1: `pixel / 127.5 - 1`, as the VAE takes pictures.
  public var tensor: HostTensor {
    HostTensor([height, width, 3], pixels.map { Float($0) / 127.5 - 1 })
  }

  /// A picture out of `[height, width, 3]` or `[1, height, width, 3]`, as the VAE gives it: -1...1, clamped, rounded
  /// to the nearest.
  ///
  /// A number that is not one becomes black.
  ///
  /// - Precondition: the tensor has one of those shapes.
  package init(_ tensor: HostTensor) {
    let shape = Array(tensor.shape.dimensions.suffix(3))
    precondition(
      shape.count == 3 && shape[2] == 3 && shape.reduce(1, *) == tensor.shape.count, "\(tensor.shape) is no picture")
    self.init(
      width: shape[1], height: shape[0],
      pixels: tensor.values.map { value in
        let level = value.isNaN ? 0 : min(max(value / 2 + 0.5, 0), 1) * 255
        return UInt8(level.rounded(.toNearestOrEven))
      })
  }
}
