// Each method of the JavaScript SDK, called, and its effect seen by another call of it; prints the
// rows as JSON. What the files API did is looked at by commands, and the other way round.
import { request } from 'node:http'
import { Sandbox, Secret, Volume } from '@e2b/code-interpreter'
import { refused, rows, traced, until, works } from './book.mjs'
import { templates } from './templates.mjs'

const bytes = (text) => new TextEncoder().encode(text)
const kind = traced('Sandbox.static', Sandbox)
// Static methods are named so in the types.
const staticWorks = (name, seen) => works(`Sandbox.static.${name}`, seen)
const mark = { methods: String(Math.random()) }
const plain = await Sandbox.create({ metadata: mark })
const sandbox = traced('Sandbox', plain)
const look = async (command) => (await plain.commands.run(command)).stdout
const read = async (path) => ((await plain.files.exists(path)) ? plain.files.read(path) : '')
const runs = async (pid) => (await look(`test -d /proc/${pid} && echo yes || true`)) === 'yes\n'
const fetched = (host) =>
  new Promise((resolve, reject) => {
    const gate = new URL(process.env.E2B_API_URL)
    request({ host: gate.hostname, port: gate.port, path: '/served', headers: { host } }, async (answer) => {
      resolve(Buffer.concat(await answer.toArray()).toString())
    })
      .on('error', reject)
      .end()
  })

async function files() {
  const sdk = sandbox.files
  await sdk.write('a/one', 'text')
  works('Sandbox.files.write', (await look('cat a/one')) === 'text')
  await sdk.writeFiles([
    { path: 'a/two', data: '2' },
    { path: 'a/three', data: '3' },
  ])
  works('Sandbox.files.writeFiles', (await look('cat a/two a/three')) === '23')
  await look('printf 4444 > a/four')
  works('Sandbox.files.read', (await sdk.read('a/four')) === '4444')
  works('Sandbox.files.exists', (await sdk.exists('a/four')) && !(await sdk.exists('a/none')))
  const info = await sdk.getInfo('a/four')
  works('Sandbox.files.getInfo', String(info.size) === (await look('stat -c %s a/four')).trim())
  const names = (await sdk.list('a')).map((entry) => entry.name).sort()
  works('Sandbox.files.list', names.join('\n') === (await look('ls a | LC_ALL=C sort')).trim())
  await sdk.makeDir('a/new/deep')
  works('Sandbox.files.makeDir', (await look('stat -c %F a/new/deep')) === 'directory\n')
  await sdk.rename('a/one', 'a/moved')
  works('Sandbox.files.rename', (await look('cat a/moved; ls a/one 2>&- || echo none')) === 'textnone\n')
  await sdk.remove('a/moved')
  works('Sandbox.files.remove', (await look('ls a/moved 2>&- || echo none')) === 'none\n')
}

async function watches() {
  await look('mkdir w')
  const seen = []
  let ended = false
  const handle = await sandbox.files.watchDir('w', (event) => void seen.push(event.name), {
    onExit: () => void (ended = true),
  })
  await look('echo 1 > w/first')
  works('Sandbox.files.watchDir', await until(() => seen.includes('first')))
  await handle.stop()
  await until(() => ended)
  await look('echo 2 > w/second')
  works('WatchHandle.stop', ended && !seen.includes('second'))
}

async function commands() {
  const sdk = sandbox.commands
  const got = await sdk.run('echo told; echo seen > ran')
  works('Sandbox.commands.run', got.stdout === 'told\n' && (await read('ran')) === 'seen\n')
  const cat = await sdk.run('cat > typed', { background: true, stdin: true })
  const listed = (await sdk.list()).map((one) => one.pid)
  works('Sandbox.commands.list', listed.includes(cat.pid) && (await runs(cat.pid)))
  await sdk.sendStdin(cat.pid, 'one ')
  works('Sandbox.commands.sendStdin', await until(async () => (await read('typed')) === 'one '))
  await cat.sendStdin('two ')
  works('CommandHandle.sendStdin', await until(async () => (await read('typed')) === 'one two '))
  await sdk.closeStdin(cat.pid)
  works('Sandbox.commands.closeStdin', await until(async () => !(await runs(cat.pid))))
  const again = await sdk.run('cat > again; echo end', { background: true, stdin: true })
  await again.closeStdin()
  const result = await again.wait()
  works('CommandHandle.closeStdin', (await look('ls again')) === 'again\n')
  works('CommandHandle.wait', result.stdout === 'end\n' && !(await runs(again.pid)))
  const sleeper = await sdk.run('sleep 1000', { background: true })
  await sleeper.disconnect()
  works('CommandHandle.disconnect', await runs(sleeper.pid))
  const joined = await sdk.connect(sleeper.pid)
  works('Sandbox.commands.connect', joined.pid === sleeper.pid && (await runs(joined.pid)))
  await sdk.kill(sleeper.pid)
  works('Sandbox.commands.kill', await until(async () => !(await runs(sleeper.pid))))
  const other = await sdk.run('sleep 1000', { background: true })
  await other.kill()
  works('CommandHandle.kill', await until(async () => !(await runs(other.pid))))
}

async function terminals() {
  const sdk = sandbox.pty
  const handle = await sdk.create({ cols: 80, rows: 24, onData: () => {} })
  await sdk.sendInput(handle.pid, bytes('tty > pty\n'))
  const typed = await until(async () => (await read('pty')).startsWith('/dev/pts/'))
  works('Sandbox.pty.create', typed)
  works('Sandbox.pty.sendInput', typed)
  await sdk.resize(handle.pid, { cols: 101, rows: 33 })
  await sdk.sendInput(handle.pid, bytes('stty size > size\n'))
  works('Sandbox.pty.resize', await until(async () => (await read('size')) === '33 101\n'))
  const again = await sdk.connect(handle.pid, { onData: () => {} })
  works('Sandbox.pty.connect', again.pid === handle.pid && (await runs(again.pid)))
  await sdk.kill(handle.pid)
  works('Sandbox.pty.kill', await until(async () => !(await runs(handle.pid))))
}

async function repositories() {
  const git = sandbox.git
  const tells = async (command, path = 'repo') => (await look(`git -C ${path} ${command}`)).trim()
  await git.configureUser('Ann', 'ann@example.org')
  works('Sandbox.git.configureUser', (await tells('config --global user.name', '.')) === 'Ann')
  await git.setConfig('color.ui', 'never', { scope: 'global' })
  works('Sandbox.git.setConfig', (await tells('config --global color.ui', '.')) === 'never')
  works('Sandbox.git.getConfig', (await git.getConfig('color.ui', { scope: 'global' })) === 'never')
  await git.init('repo', { initialBranch: 'main' })
  works('Sandbox.git.init', (await tells('rev-parse --git-dir')) === '.git')
  await look('echo 1 > repo/file')
  works('Sandbox.git.status', (await git.status('repo')).fileStatus[0].name === 'file')
  await git.add('repo')
  works('Sandbox.git.add', (await tells('diff --cached --name-only')) === 'file')
  await git.commit('repo', 'first')
  works('Sandbox.git.commit', (await tells('log --format=%s')) === 'first')
  await git.createBranch('repo', 'side')
  works('Sandbox.git.createBranch', (await tells('branch --list side')).includes('side'))
  await git.checkoutBranch('repo', 'main')
  works('Sandbox.git.checkoutBranch', (await tells('branch --show-current')) === 'main')
  works('Sandbox.git.branches', (await git.branches('repo')).branches.sort().join() === 'main,side')
  await git.deleteBranch('repo', 'side')
  works('Sandbox.git.deleteBranch', (await tells('branch --list side')) === '')
  await git.init('bare', { bare: true, initialBranch: 'main' })
  await git.remoteAdd('repo', 'origin', '/home/user/bare')
  works('Sandbox.git.remoteAdd', (await tells('remote get-url origin')) === '/home/user/bare')
  works('Sandbox.git.remoteGet', (await git.remoteGet('repo', 'origin')) === '/home/user/bare')
  await git.push('repo', { remote: 'origin', branch: 'main' })
  works('Sandbox.git.push', (await tells('log --format=%s main', 'bare')) === 'first')
  await git.clone('/home/user/bare', { path: 'copy' })
  works('Sandbox.git.clone', (await tells('log --format=%s', 'copy')) === 'first')
  await look('cd copy && echo 2 > file && git commit -qam second && git push -q')
  await git.pull('repo', { remote: 'origin', branch: 'main' })
  works('Sandbox.git.pull', (await tells('log -1 --format=%s')) === 'second')
  await look('echo spoilt > repo/file')
  await git.restore('repo', { paths: ['file'] })
  works('Sandbox.git.restore', (await look('cat repo/file')) === '2\n')
  await git.reset('repo', { mode: 'hard', target: 'HEAD~1' })
  works('Sandbox.git.reset', (await tells('log -1 --format=%s')) === 'first')
  await git.dangerouslyAuthenticate({ username: 'ann', password: 'token', host: 'git.example.org' })
  const stored = await look('cat ~/.git-credentials')
  works('Sandbox.git.dangerouslyAuthenticate', stored.includes('ann:token@git.example.org'))
}

async function code() {
  const got = await sandbox.runCode("open('by_code', 'w').write('x'); 6 * 7")
  works('Sandbox.runCode', got.text === '42' && (await read('by_code')) === 'x')
  const context = await sandbox.createCodeContext({ cwd: '/tmp' })
  await plain.runCode("kept = 1; open('here', 'w').write('x')", { context })
  works('Sandbox.createCodeContext', (await look('ls /tmp/here')) === '/tmp/here\n')
  const known = async () => (await sandbox.listCodeContexts()).map((one) => one.id)
  works('Sandbox.listCodeContexts', (await known()).includes(context.id))
  await sandbox.restartCodeContext(context)
  works('Sandbox.restartCodeContext', (await plain.runCode('kept', { context })).error)
  await sandbox.removeCodeContext(context)
  works('Sandbox.removeCodeContext', !(await known()).includes(context.id))
}

async function addresses() {
  await look("printf 'from inside' > served")
  const url = await sandbox.downloadUrl('served')
  works('Sandbox.downloadUrl', (await (await fetch(url)).text()) === 'from inside')
  const headers = { 'content-type': 'application/octet-stream' }
  await fetch(await sandbox.uploadUrl('uploaded'), { method: 'POST', body: 'from outside', headers })
  works('Sandbox.uploadUrl', (await look('cat uploaded')) === 'from outside')
  for (const port of [8000, 50005]) {
    await plain.commands.run(`python3 -m http.server ${port}`, { background: true })
    await look(`until (: < /dev/tcp/127.0.0.1/${port}); do sleep .05; done 2>&-`)
  }
  works('Sandbox.getHost', (await fetched(sandbox.getHost(8000))) === 'from inside')
  works('Sandbox.getMcpUrl', (await fetched(new URL(sandbox.getMcpUrl()).host)) === 'from inside')
  await plain.files.write('/etc/mcp-gateway/.token', 'secret', { user: 'root' })
  works('Sandbox.getMcpToken', (await sandbox.getMcpToken()) === 'secret')
}

async function life() {
  const id = plain.sandboxId
  const left = async () => ((await plain.getInfo()).endAt - Date.now()) / 1000
  const state = async () => (await Sandbox.list({ query: { metadata: mark } }).nextItems())[0]?.state
  const made = await kind.create({ metadata: { made: mark.methods } })
  const there = await Sandbox.list({ query: { metadata: { made: mark.methods } } }).nextItems()
  staticWorks('create', there[0].sandboxId === made.sandboxId)
  await kind.kill(made.sandboxId)
  staticWorks('kill', !(await made.isRunning()))
  works('Sandbox.isRunning', (await sandbox.isRunning()) && (await state()) === 'running')
  await sandbox.setTimeout(500_000)
  works('Sandbox.setTimeout', Math.abs((await left()) - 500) < 60)
  await kind.setTimeout(id, 700_000)
  staticWorks('setTimeout', Math.abs((await left()) - 700) < 60)
  const [listed] = await Sandbox.list({ query: { metadata: mark } }).nextItems()
  works('Sandbox.getInfo', Math.abs((await sandbox.getInfo()).endAt - listed.endAt) < 1000)
  staticWorks('getInfo', (await kind.getInfo(id)).metadata.methods === listed.metadata.methods)
  staticWorks('getFullInfo', (await kind.getFullInfo(id)).sandboxId === listed.sandboxId)
  const used = Number(await look("awk '/^Rss/ { print $2 }' /proc/self/smaps_rollup"))
  works('Sandbox.getMetrics', used > 0 && (await sandbox.getMetrics())[0].memUsed > 0)
  staticWorks('getMetrics', (await kind.getMetrics(id))[0].cpuCount > 0)
  for (const [name, pausing, resuming] of [
    ['Sandbox.pause', () => sandbox.pause(), () => sandbox.connect()],
    ['Sandbox.betaPause', () => sandbox.betaPause(), () => sandbox.connect()],
    ['Sandbox.static.pause', () => kind.pause(id), () => kind.connect(id)],
    ['Sandbox.static.betaPause', () => kind.betaPause(id), () => kind.connect(id)],
  ]) {
    await pausing()
    works(name, (await state()) === 'paused')
    await resuming()
    works(name.includes('static') ? 'Sandbox.static.connect' : 'Sandbox.connect', (await state()) === 'running')
  }
  const page = await kind.list({ query: { metadata: mark } }).nextItems()
  staticWorks('list', page.length === 1 && page[0].sandboxId === plain.sandboxId)
  works('SandboxPaginator.nextItems', page[0].metadata.methods === (await plain.getInfo()).metadata.methods)
}

async function copies() {
  const id = plain.sandboxId
  await look('echo kept > kept')
  for (const [name, take] of [
    ['Sandbox.createSnapshot', () => sandbox.createSnapshot()],
    ['Sandbox.static.createSnapshot', () => kind.createSnapshot(id)],
  ]) {
    const taken = await take()
    const copy = await Sandbox.create(taken.snapshotId)
    works(name, (await copy.files.read('kept')) === 'kept\n')
    await copy.kill()
    const own = await sandbox.listSnapshots().nextItems()
    works('Sandbox.listSnapshots', own.some((one) => one.snapshotId === taken.snapshotId))
    works('SnapshotPaginator.nextItems', own.length === 1)
    const all = await kind.listSnapshots({ sandboxId: id }).nextItems()
    staticWorks('listSnapshots', all.some((one) => one.snapshotId === taken.snapshotId))
    await kind.deleteSnapshot(taken.snapshotId)
    staticWorks('deleteSnapshot', (await plain.listSnapshots().nextItems()).length === 0)
  }
  for (const [name, forks] of [
    ['Sandbox.fork', await sandbox.fork({ count: 1 })],
    ['Sandbox.static.fork', await kind.fork(id, { count: 1 })],
  ]) {
    works(name, (await forks[0].files.read('kept')) === 'kept\n')
    await forks[0].kill()
  }
}

async function refusals() {
  await refused('Sandbox.updateNetwork', sandbox.updateNetwork({ allowOut: [] }))
  await refused('Sandbox.static.updateNetwork', kind.updateNetwork(plain.sandboxId, { allowOut: [] }))
}

async function volumes() {
  const stat = traced('Volume.static', Volume)
  const made = await stat.create('js-shared')
  const volume = traced('Volume', made)
  const box = await Sandbox.create({ volumeMounts: { '/mnt/shared': 'js-shared' } })
  const see = async (command) => (await box.commands.run(command, { cwd: '/mnt/shared' })).stdout
  try {
    works('Volume.static.create', (await see('stat -c %F .')) === 'directory\n')
    await volume.writeFile('/a/one', 'text')
    works('Volume.writeFile', (await see('cat a/one')) === 'text')
    await see('printf 22 > a/two')
    works('Volume.readFile', (await volume.readFile('/a/two')) === '22')
    works('Volume.exists', (await volume.exists('/a/two')) && !(await volume.exists('/a/none')))
    works('Volume.getInfo', (await volume.getInfo('/a/two')).size === 2)
    const names = (await volume.list('/a')).map((one) => one.name).sort()
    works('Volume.list', names.join('\n') === (await see('ls a | LC_ALL=C sort')).trim())
    await volume.makeDir('/new')
    works('Volume.makeDir', (await see('stat -c %F new')) === 'directory\n')
    await volume.updateMetadata('/a/two', { mode: 0o600 })
    works('Volume.updateMetadata', (await see('stat -c %a a/two')) === '600\n')
    await volume.remove('/a')
    works('Volume.remove', (await see('ls a 2>&- || echo none')) === 'none\n')
    await see('printf kept > kept')
    const again = await stat.connect(made.volumeId)
    works('Volume.static.connect', (await again.readFile('/kept')) === 'kept')
    works('Volume.static.getInfo', (await stat.getInfo(made.volumeId)).name === 'js-shared')
    works('Volume.static.list', (await stat.list()).some((one) => one.volumeId === made.volumeId))
  } finally {
    await box.kill()
  }
  await stat.destroy(made.volumeId)
  works('Volume.static.destroy', !(await Volume.list()).some((one) => one.volumeId === made.volumeId))
}

async function cloud() {
  await refused('Secret.static.create', Secret.create('s', 'value'))
  await refused('Secret.static.update', Secret.update('s', 'value'))
  for (const name of ['destroy', 'exists', 'getInfo']) {
    await refused(`Secret.static.${name}`, Secret[name]('s'))
  }
  const pages = Secret.list()
  await refused('Secret.static.list', pages.nextItems())
  await refused('SecretPaginator.nextItems', pages.nextItems())
  const header = { transform: { headers: { authorization: Secret.fill('s') } } }
  await refused('Secret.static.fill', Sandbox.create({ network: { rules: { 'x.org': [header] } } }))
  const tokens = { x: Secret.iamToken({ audience: 'x', tokenType: 'JWT-SVID' }) }
  await refused('Secret.static.iamToken', Sandbox.create({ iam: { tokens } }))
}

try {
  for (const proof of [files, watches, commands, terminals, repositories, code, addresses]) await proof()
  for (const proof of [refusals, templates, volumes, cloud, life, copies]) await proof()
} finally {
  await sandbox.kill()
}
works('Sandbox.kill', (await Sandbox.list({ query: { metadata: mark } }).nextItems()).length === 0)
console.log(JSON.stringify(rows))
process.exit(0)
