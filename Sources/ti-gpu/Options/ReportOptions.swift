import ArgumentParser
import TextualInversion

/// What is drawn and kept of a run to look at. What is not given comes from the run that is gone on with.
struct ReportOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Steps from one round of preview pictures to the next (none; where a prompt is given, at the end).",
      valueName: "steps"))
  var previewEvery: Int?
  @Option(
    help: ArgumentHelp(
      "What a preview shows, {} or the word itself in it; may be given several times (a sentence of the word's kind).",
      valueName: "prompt"))
  var previewPrompt: [String] = []
  @Option(help: ArgumentHelp("What previews should not show.", valueName: "prompt"))
  var previewNegative: String?
  @Flag(inversion: .prefixedNo, help: "Keep event files for TensorBoard in the run's folder tensorboard (no).")
  var tensorboard: Bool?

  @Option(
    help: ArgumentHelp(
      "Show the run live at http://127.0.0.1:PORT while it trains; 0 takes a free one.", valueName: "port"))
  var serve: Int?
  @Option(help: ArgumentHelp("The address that --serve listens on (127.0.0.1).", valueName: "address"))
  var serveHost: String?

  func validate() throws {
    if serve == nil, serveHost != nil { throw ValidationError("--serve-host goes with --serve") }
  }

  /// Begins to serve the live page, where one is asked for, and says where it is.
  ///
  /// - Returns: what is to watch the run.
  func startServing() throws -> [any RunObserver] {
    guard let serve else { return [] }
    let address = try ServeAddress(host: serveHost, port: serve)
    let live = LiveRun()
    let page = try LiveServer(live).start(address)
    if !address.isLoopback {
      Console.warn("whoever reaches \(page) sees the run and can stop it: it is open to more than this machine")
    }
    Console.note("The run is at \(page)")
    return [LiveObserver(live)]
  }

  /// What was given here, over the earlier run's.
  func policy(resuming earlier: TrainingReport?) -> ReportPolicy {
    var policy = ReportPolicy(earlier)
    policy.previews.every = previewEvery ?? policy.previews.every
    if !previewPrompt.isEmpty { policy.previews.prompts = previewPrompt }
    policy.previews.negativePrompt = previewNegative ?? policy.previews.negativePrompt
    policy.tensorBoard = tensorboard ?? policy.tensorBoard
    return policy
  }
}
