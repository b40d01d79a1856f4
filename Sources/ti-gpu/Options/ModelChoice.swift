import ArgumentParser
import DemoModel
import Foundation
import ModelFiles
import Tensors

/// `--model`: a folder in diffusers' layout, or `demo` for the built-in model.
struct ModelOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A model folder in diffusers' layout, or 'demo'.", valueName: "folder"))
  var model: PathArgument

  /// The model's folder.
  func folder() throws(UserError) -> ModelFolder { try Self.folder(model.text) }

  /// The name of the model that is built in.
  static let builtIn = "demo"

  /// The folder of a model that was named so.
  static func folder(_ model: String) throws(UserError) -> ModelFolder {
    try ModelFolder(model == builtIn ? DemoModel.model : URL(fileURLWithPath: model), warn: Console.warn)
  }

  /// The model's name as it goes into a picture's settings.
  var name: String { model.text == Self.builtIn ? Self.builtIn : model.url.lastPathComponent }
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
