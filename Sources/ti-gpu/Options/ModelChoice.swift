import ArgumentParser
import DemoModel
import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// What `--model` takes.
enum ModelName {
  /// The model that is built in.
  static let builtIn = "demo"

  static let help = ArgumentHelp(
    "A model: a folder in diffusers' layout, a checkpoint in one file (.safetensors, .ckpt), the name of one in Hugging Face's "
      + "cache (owner/name, owner/name@revision), or 'demo'.", valueName: "model")

  /// The model that goes by a name.
  static func source(_ model: String, reading: ModelReading = ModelReading()) throws(UserError) -> any ModelSource {
    try openModel(
      model == builtIn ? DemoModel.model.path : model, reading: reading, note: Console.note, warn: Console.warn)
  }

  /// A name that means the same from any working folder.
  static func lasting(_ model: String) -> String {
    let isPath = FileManager.default.fileExists(atPath: model) || HubName(model) == nil
    return model != builtIn && isPath ? URL(fileURLWithPath: model).standardizedFileURL.path : model
  }
}

extension PredictionType: ExpressibleByArgument {}

/// What is read otherwise than the model's own files say.
struct ModelReadingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("A VAE in place of the model's own: its file, its folder, or a model's.", valueName: "path"))
  var vae: PathArgument?
  @Option(
    help: ArgumentHelp(
      "A model folder in diffusers' layout whose configurations and tokenizers are taken (its weights are not): for a checkpoint in "
        + "one file whose sizes are nobody else's.", valueName: "folder"))
  var config: PathArgument?
  @Option(help: "What the UNet predicts, epsilon or v_prediction; recognized by default.")
  var predictionType: PredictionType?
  @Option(
    help: ArgumentHelp(
      "Which of a folder's weights to take where several lie side by side: fp16 of model.fp16.safetensors (the plain ones).",
      valueName: "name"))
  var variant: String?
  @Flag(help: "Take the running means (EMA) of a checkpoint that has them beside its weights.")
  var ema = false

  /// - Parameter earlier: what a run that is gone on with was started with.
  func reading(earlier: ModelReading? = nil) -> ModelReading {
    var reading = earlier ?? ModelReading()
    reading.vae = vae?.url.standardizedFileURL.path ?? reading.vae
    reading.configuration = config?.url.standardizedFileURL.path ?? reading.configuration
    reading.predictionType = predictionType ?? reading.predictionType
    reading.usesMeans = ema ? true : reading.usesMeans
    reading.variant = variant ?? reading.variant
    return reading
  }
}

/// `--model` and how it is read.
struct ModelOptions: ParsableArguments {
  @Option(help: ModelName.help)
  var model: PathArgument
  @OptionGroup(title: "Model") var reading: ModelReadingOptions

  /// The model that was named.
  func source() throws(UserError) -> any ModelSource {
    try ModelName.source(model.text, reading: reading.reading())
  }

  /// The model's name as it goes into a picture's settings.
  var name: String {
    let url = model.url
    return ["safetensors", "ckpt", "pt"].contains(url.pathExtension)
      ? url.deletingPathExtension().lastPathComponent : url.lastPathComponent
  }
}

/// `--images`: a folder, or `demo:NAME` for an example concept.
enum ConceptFolder {
  private static let prefix = "demo:"

  static func isBuiltIn(_ argument: String) -> Bool { argument.hasPrefix(prefix) }

  static func url(_ argument: String) throws(UserError) -> URL {
    guard argument.hasPrefix(prefix) else { return URL(fileURLWithPath: argument) }
    let name = String(argument.dropFirst(prefix.count))
    guard let concept = DemoConcept(rawValue: name) else {
      throw UserError(.noInput, "there is no example concept '\(name)': \(DemoConcept.names) are built in")
    }
    return concept.folder
  }
}
