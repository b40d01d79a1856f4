import Images
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// What draws pictures while a run trains, whatever the backend.
protocol RunDrawing: AnyObject {
  /// A picture with the given taught words.
  func picture(
    _ settings: GenerationSettings, with words: [EmbeddingFile], warn: (String) -> Void, progress: (Int) -> Bool
  ) throws -> Picture

  /// What the decoder's weights take on the device; nil before it is loaded.
  var decoderBytes: Int? { get }
  /// Most device memory used at a time, by training or drawing.
  var peakBytes: Int { get }
}

/// Draws with the text encoders and the UNet that a run trains on. All that is loaded beside them is the autoencoder's decoder,
/// when the first picture is asked for.
final class TrainedModelDrawing<B: Backend>: RunDrawing {
  private let model: StableDiffusionModel
  private let backend: B
  private let textEncoders: TextEncoders<B>
  private let unet: UNet<B>
  private let makeBackend: (ElementType) throws -> B
  private var words: LearnedWords?
  private var decoder: (vae: AutoencoderKL<B>, backend: B)?
  private(set) var decoderBytes: Int?

  init(
    _ model: StableDiffusionModel, textEncoders: TextEncoders<B>, unet: UNet<B>, on backend: B,
    makeBackend: @escaping (ElementType) throws -> B
  ) {
    self.model = model
    self.textEncoders = textEncoders
    self.unet = unet
    self.backend = backend
    self.makeBackend = makeBackend
  }

  func picture(
    _ settings: GenerationSettings, with embeddings: [EmbeddingFile], warn: (String) -> Void, progress: (Int) -> Bool
  ) throws -> Picture {
    var words: LearnedWords
    if let known = self.words {
      words = known
      words.takeRows(of: embeddings)
    } else {
      words = try LearnedWords(embeddings, of: model, areKnownToFit: true)
    }
    self.words = words
    let (vae, vaeBackend) = try loadedDecoder()
    let generator = try Generator(
      model: model, words: words, textEncoders: textEncoders, unet: unet, on: backend, vae: vae, on: vaeBackend)
    var goesOn = true
    return try generator.picture(
      settings, warn: warn, progress: { goesOn = progress($0) }, shouldStop: { !goesOn })
  }

  private func loadedDecoder() throws -> (vae: AutoencoderKL<B>, backend: B) {
    if let decoder { return decoder }
    let precision = model.shape.autoencoder.precision(beside: backend.precision)
    let vaeBackend = precision == backend.precision ? backend : try makeBackend(precision)
    let before = vaeBackend.memory.currentBytes
    let loaded = (vae: try model.autoencoder(on: vaeBackend, parts: .decoder), backend: vaeBackend)
    decoderBytes = max(0, vaeBackend.memory.currentBytes - before)
    decoder = loaded
    return loaded
  }

  var peakBytes: Int {
    let own = backend.memory
    guard let decoder, decoder.backend !== backend else { return own.peakBytes }
    return max(own.peakBytes, own.currentBytes + decoder.backend.memory.peakBytes)
  }
}
