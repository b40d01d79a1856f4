import CPUBackend
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TextualInversion

/// Teaches a word by the defaults, for as long as there is time, and draws it.
func teach(model name: String, pictures: URL, output: URL, seconds: Double) throws {
  let model = try openModel(name)
  let settings = try TrainingSettings(word: "<toy>", initializer: "toy", on: model)
  let run = try TrainingRun(model: model, pictures: pictures, settings: settings, folder: RunFolder(new: output)) {
    Checked(try CPUBackend(precision: $0))
  }
  run.preflight.lines.forEach { print($0) }
  let start = Date()
  _ = try run.run { event, run in
    switch event {
    case .stepped(let step):
      print("step \(step.step) of at most \(run.settings.steps): loss \(step.loss)")
      if Date().timeIntervalSince(start) > seconds { run.requestStop() }
    case .warned(let line): print(line)
    default: break
    }
  }

  let generator = try Generator(model: model, embeddings: run.embeddings, precision: .float32) {
    Checked(try CPUBackend(precision: $0))
  }
  let picture = try generator.picture(
    GenerationSettings(prompt: "a photo of <toy> on a beach", width: settings.resolution, height: settings.resolution))
  try AtomicFile.write(picture.encodedPNG(), to: output.appendingPathComponent("toy.png"))
}
