import ModelFiles
import Tensors

extension TensorView {
  /// The length of a tensor's axis.
  ///
  /// - Throws: `badData` where the tensor is missing or has fewer axes.
  func size(_ name: String, _ axis: Int) throws(UserError) -> Int {
    guard let shape = shape(of: name), axis < shape.rank else {
      throw UserError(
        .badData, at: [.file(url), .tensor(name)], shape(of: name) == nil ? "is missing" : "has too few axes",
        remedy: "is it a whole model?")
    }
    return shape[axis]
  }

  /// What the sizes of tensors do not tell and the family's rule does not fit.
  func untold(_ what: String) -> UserError {
    UserError(
      .badData, at: .file(url), what,
      remedy: "give the configuration of a model like it in diffusers' layout by --config")
  }

  /// Channels cut into heads of 64, as every family but the first has them.
  func heads(of channels: Int, _ part: String) throws(UserError) -> Int {
    guard channels % 64 == 0, channels > 0 else {
      throw untold("how many heads of attention \(part) has can't be told of \(channels) channels")
    }
    return channels / 64
  }

  /// Group norms have 32 groups wherever channels can be cut so.
  func checkGroups(_ levels: [Int], _ part: String) throws(UserError) {
    for channels in levels where channels % 32 != 0 {
      throw untold("how many groups the norms of \(part) have can't be told of \(channels) channels")
    }
  }
}
