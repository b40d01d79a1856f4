import Foundation
import ModelFiles
import Tensors
import Testing

/// A form in which people have a model, made of one of the tiny models' folders.
public enum ModelForm: String, CaseIterable, Sendable {
  /// As diffusers wrote it.
  case folder
  /// Weights under the names of half-precision ones: `model.fp16.safetensors`.
  case variant
  /// Weights in two files and an index.
  case pieces
  /// Weights by `torch.save`, the VAE's in the layout before PyTorch 1.6.
  case pickles
  /// One file in the original naming.
  case safetensors
  case checkpoint
  /// The layout before PyTorch 1.6.
  case legacy

  /// Whether configurations and tokenizers have to be taken from a folder: nobody's family has the tiny models' sizes.
  public var isSingleFile: Bool { [.safetensors, .checkpoint, .legacy].contains(self) }

  private var ending: String {
    switch self {
    case .safetensors: ".safetensors"
    case .checkpoint: ".ckpt"
    case .legacy: ".pt"
    default: ""
    }
  }

  /// Writes a model in this form.
  ///
  /// - Returns: a file or a folder of the model's name in a folder of the form's.
  public func write(_ model: String, in folder: URL) throws -> URL {
    let place = folder.appendingPathComponent(rawValue)
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    let target = place.appendingPathComponent(model + ending)
    guard isSingleFile else {
      try Self.copy(model, to: target)
      for component in try DiffusersFolder(target).components where self != .folder {
        try rewrite(target.appendingPathComponent(component.rawValue), component)
      }
      return target
    }
    let tensors = try SingleFilePlan.tensors(of: model)
    switch self {
    case .checkpoint: try TorchSave.encode(tensors, layout: .zip).write(to: target)
    case .legacy: try TorchSave.encode(tensors, root: nil, layout: .legacy).write(to: target)
    default: try Safetensors.write(tensors, to: target)
    }
    return target
  }

  /// The model alone, without what tests hold it against.
  public static func copy(_ model: String, to target: URL) throws {
    let source = Fixtures.url("models/\(model)")
    try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
    for name in try FileManager.default.contentsOfDirectory(atPath: source.path)
    where !name.hasSuffix(".safetensors") && name != "pictures" {
      try FileManager.default.copyItem(
        at: source.appendingPathComponent(name), to: target.appendingPathComponent(name))
    }
  }

  /// Replaces a component's one file of weights.
  private func rewrite(_ folder: URL, _ component: Component) throws {
    let stem = component == .unet || component == .vae ? "diffusion_pytorch_model" : "model"
    let file = folder.appendingPathComponent("\(stem).safetensors")
    let weights = try SafetensorsFile(file)
    let tensors = try weights.names.filter { !$0.hasSuffix("position_ids") }.map { ($0, try weights.tensor($0)) }
    try FileManager.default.removeItem(at: file)
    func write(_ tensors: [(String, HostTensor)], _ name: String) throws {
      try Safetensors.write(tensors, to: folder.appendingPathComponent(name))
    }
    switch self {
    case .variant: try write(tensors, "\(stem).fp16.safetensors")
    case .pieces:
      var places: [String: String] = [:]
      for (index, half) in [tensors.prefix(tensors.count / 2), tensors.dropFirst(tensors.count / 2)].enumerated() {
        let name = "\(stem)-0000\(index + 1)-of-00002.safetensors"
        try write(Array(half), name)
        for tensor in half { places[tensor.0] = name }
      }
      try JSONSerialization.data(withJSONObject: ["metadata": ["total_size": 1], "weight_map": places])
        .write(to: folder.appendingPathComponent("\(stem).safetensors.index.json"))
    case .pickles:
      let name = stem == "model" ? "pytorch_model.bin" : "\(stem).bin"
      try TorchSave.encode(tensors, root: nil, layout: component == .vae ? .legacy : .zip)
        .write(to: folder.appendingPathComponent(name))
    default: Issue.record("\(self) is no folder of other weights")
    }
  }
}
