import CPUBackend
import Foundation
import ModelFiles
import TextualInversion

func teach(model path: URL, pictures: URL, output: URL) throws {
  let model = try DiffusersFolder(path)
  var settings = TrainingSettings(
    placeholder: try Placeholder("<toy>", vectors: 2), initializer: "toy", kind: .object, resolution: 64,
    precision: .float32)
  settings.steps = 3
  let run = try TrainingRun(
    model: model, pictures: pictures, settings: settings, folder: RunFolder(new: output),
    makeBackend: { try CPUBackend(precision: $0) })
  _ = try run.run { event, _ in
    if case .stepped(let step) = event { print("step \(step.step): loss \(step.loss)") }
  }

  let generator = try Generator(
    model: model, embeddings: run.embeddings, precision: .float32,
    makeBackend: { try CPUBackend(precision: $0) })
  let picture = try generator.picture(GenerationSettings(prompt: "a photo of <toy>", width: 64, height: 64))
  try AtomicFile.write(picture.encodedPNG(), to: output.appendingPathComponent("toy.png"))
}
