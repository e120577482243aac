import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'

type Answer = Record<string, unknown> & { error?: string }

/**
 * Another program, measured beside this one: a child process that obeys lines on stdin. One JSON object a line:
 * `{"do": NAME, …}` is answered by one object, `{"error": text}` where it failed. The first line that it writes says what it
 * is: `{"name", "version", …}`.
 */
export class Peer {
  readonly name: string
  private readonly child: ChildProcessWithoutNullStreams
  private readonly answers: string[] = []
  private readonly waiting: { resolve(line: string): void; reject(error: Error): void }[] = []
  private exit: Error | undefined

  /** Starts the command; the settings are its last argument, as JSON. */
  constructor(name: string, command: readonly string[], settings: object, environment: NodeJS.ProcessEnv = {}) {
    this.name = name
    const [file, ...args] = [...command, JSON.stringify(settings)]
    this.child = spawn(file, args, { stdio: 'pipe', env: { ...process.env, ...environment } })
    this.child.stderr.pipe(process.stderr, { end: false })
    createInterface(this.child.stdout).on('line', (line) => {
      const waiting = this.waiting.shift()
      if (waiting) waiting.resolve(line)
      else this.answers.push(line)
    })
    const gone = (error: Error): void => {
      this.exit ??= error
      for (const { reject } of this.waiting.splice(0)) reject(this.exit)
    }
    this.child.on('error', gone)
    this.child.on('close', (code, signal) => gone(new Error(`${name} left with ${signal ?? `code ${code}`}`)))
    // A request to a child that has gone is answered by `gone`.
    this.child.stdin.on('error', () => {})
  }

  /** Waits until it is up: what it says of itself. */
  ready(): Promise<Answer> {
    return this.answer()
  }

  ask(what: string, more: object = {}): Promise<Answer> {
    this.child.stdin.write(`${JSON.stringify({ do: what, ...more })}\n`)
    return this.answer()
  }

  close(): void {
    this.child.stdin.end()
  }

  /** Ends it at once. */
  kill(): void {
    this.child.kill('SIGKILL')
  }

  private async answer(): Promise<Answer> {
    const answer = JSON.parse(await this.line()) as Answer
    if (answer.error) throw new Error(`${this.name}: ${answer.error}`)
    return answer
  }

  private async line(): Promise<string> {
    const line = this.answers.shift()
    if (line !== undefined) return line
    if (this.exit) throw this.exit
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }
}

/** A Python that has PyTorch: $PYTHON, python3 or the system's own; undefined where none has. */
export function findPyTorch(): string | undefined {
  return [process.env.PYTHON, 'python3', '/usr/bin/python3'].find(
    (python) => python && spawnSync(python, ['-c', 'import torch']).status === 0,
  )
}

export const pyTorchMissing =
  'PyTorch is skipped: no Python with torch was found; apt-get install python3-torch (Debian), or set PYTHON'
