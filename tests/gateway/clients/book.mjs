// What was shown of each method: it was called, and its effect was seen by another way.
export const rows = {}
const called = new Set()
const PARTS = ['files', 'commands', 'pty', 'git']
const NAMED = ['CommandHandle', 'WatchHandle', 'SandboxPaginator', 'SnapshotPaginator', 'SecretPaginator', 'Sandbox']

// An object of the SDK's that notes which of its methods are called.
export const traced = (name, target) =>
  new Proxy(target, {
    get: (_, attribute) => {
      const value = target[attribute]
      const whole = `${name}.${String(attribute)}`
      if (PARTS.includes(attribute)) return traced(whole, value)
      if (typeof value !== 'function') return value
      return (...given) => {
        called.add(whole)
        const result = value.apply(target, given)
        return result instanceof Promise ? result.then(wrapped) : wrapped(result)
      }
    },
  })

const wrapped = (result) => {
  if (Array.isArray(result)) return result.map(wrapped)
  const kind = result?.constructor?.name
  return NAMED.includes(kind) ? traced(kind, result) : result
}

export const works = (name, seen) => {
  if (!called.has(name)) throw new Error(`${name} was not called`)
  if (!seen) throw new Error(`${name} had no effect that another way sees`)
  rows[name] = 'works'
}

export const refused = async (name, doing) => {
  try {
    await (typeof doing === 'function' ? doing() : doing)
  } catch (error) {
    const found = /501[^A-Za-z0-9]+([^]*)/.exec(String(error.message))
    if (!found) throw new Error(`${name}: ${error.stack}`)
    rows[name] = `501: ${found[1].trim()}`
    return
  }
  throw new Error(`${name} is not refused`)
}

export const until = async (seen) => {
  for (let round = 0; round < 400; round++) {
    if (await seen()) return true
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return false
}
