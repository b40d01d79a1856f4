import ModelFiles
import Operators
import Tensors

/// A place in a model's tree of named weights, such as `down_blocks.0.resnets.1`: where a layer finds its own.
struct WeightScope<B: Backend> {
  let backend: B
  let source: any WeightSource
  /// The names of the places down to here, joined by dots; empty at the root.
  let path: String
  /// What the weights below are packed for.
  let directions: Directions

  init(_ backend: B, _ source: any WeightSource, path: String = "", directions: Directions) {
    self.backend = backend
    self.source = source
    self.path = path
    self.directions = directions
  }

  /// The place `name` below this one.
  subscript(_ name: String) -> WeightScope {
    WeightScope(backend, source, path: self.name(of: name), directions: directions)
  }

  /// The same place, its weights packed for other directions.
  func packed(for directions: Directions) -> WeightScope {
    WeightScope(backend, source, path: path, directions: directions)
  }

  /// The tensor `name`, which must have the given shape.
  func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    try source.take(self.name(of: name), shape)
  }

  private func name(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
}
