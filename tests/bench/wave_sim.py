#!/usr/bin/env python3
"""Discrete-event simulation of a botnet spam wave against a courier mail server.

Stdlib only, seeded.  `wave_sim.py` prints the policy table (mean of 5 seeds), `wave_sim.py
sens` the sensitivity table (3 seeds), `wave_sim.py <policy> [key=value ...]` one run.

Model.  couriertcpd holds SLOTS processes; it accept()s only when a slot is free, so the
overflow waits in the kernel accept queue (BACKLOG) and, once that is full, SYNs are lost.
A slot is held through PTR+DNSBL lookups, the dialogue and the tarpit (8 s sleep on a
session's 1st 5xx, doubling, even if the client has gone).  Clients retransmit SYNs as
their OS does.  A connection whose client hung up while queued still costs its DNS time.
All times in seconds; the wave is [W0, W0+WLEN), legitimate mail arrives throughout.

Columns.  slots_p95: slots in use; open_p95, open_max: slots and accept queue; bot_mean: slots
that bots hold, on average; sat: seconds with every slot in use; rec: seconds from the wave's
end until less than 90 % of the slots are in use; bots_in: bots' connections served.  p50 to
p99: seconds from creation to end of session for wanted mail; over1, over10: percent that take
more than 1 or 10 min; lost: mails never delivered; new50, new95: as p50 and p95, for senders
that are not known.  fp95: 95th percentile of the seconds until a listed mail server gets its
5xx; nofp: number of those that never get one; bot5: percent of listed bots that get one.
rejmax: most connections at the responder at once; lookups: DNS look-ups; drops: dropped SYNs.
"""
import heapq, math, random, sys
from collections import defaultdict

P = dict(seed=1, SLOTS=40, BACKLOG=128, MAXPERIP=4, MAXPERC=5, TARPIT=1, READ_TO=600,
         NBOT=20000, W0=600, WLEN=1200, LISTED=.80, LEGIT=2.0, KNOWN=.90, NEAR=.40,
         BOTWIN=.90, NEWWIN=.25, FIRSTONLY=.10, FP=.05, POISON=.01, RECUR=.20,
         LAT=1.0, REACT=.3, BOTRDNS=.10, TARGET=28, AGE=99999, HORIZON=21600)
LINUX, POSTFIX = ((0, 1, 3, 7, 15, 31, 63), 127), ((0, 1, 3, 7, 15), 30)
WINDOWS, HASTY, ONESHOT = ((0, 3, 9), 21), ((0, 3), 8), ((0,), 5)

# name -> features.  block: after a 511, SYNs of the source are dropped for 600 s, and each SYN
# extends that; allpkt: every packet is dropped, as by the iptables rule of 2009; adm: the gate
POLICIES = {
    'none': '', '2009-allpkt-1s': 'block allpkt', '2009-allpkt-20ms': 'block allpkt fast',
    '2009-synonly': 'block', '2009+/24': 'block agg', '2009+longTTL': 'block long',
    'syn-greylist+2009': 'grey block', '/24-bucket+2009': 'p24 block', 'notarpit+2009': 'notarpit block',
    'kg+fixed-rate': 'adm fixed', 'adm': 'adm', 'adm+2009': 'adm block', 'adm+2009+/24-bucket': 'adm block p24',
    'adm+2009+class': 'adm block class', 'adm+2009+class+grey': 'adm block class grey',
    'adm+2009+class+dnsbl': 'adm block class dnsbl', 'adm+class+rejector': 'adm block class dnsbl rej',
    'rejector-only': 'block dnsbl rej', 'notarpit+adm+2009+class': 'notarpit adm block class',
    'adm+class+rejector+rdns': 'adm block class dnsbl rej rdns',
    'notarpit+adm+class+rejector': 'notarpit adm block class dnsbl rej',
    'notarpit+adm+class+rejector+rdns': 'notarpit adm block class dnsbl rej rdns'}


class Src:
    __slots__ = 'kind listed win p24 sched good rdns'.split()

    def __init__(s, *a):
        for k, v in zip(s.__slots__, a): setattr(s, k, v)


class Conn:   # one connection attempt
    def __init__(s, src, msg): s.src, s.msg, s.state, s.end = src, msg, 'syn', 0


class Msg:    # legit: one mail; bot: a chain of `left` mails
    def __init__(s, t0, left=0):
        s.t0, s.tries, s.left, s.done, s.first5xx = t0, 0, left, None, None


class Sim:
    def __init__(s, policy, **kw):
        s.p = dict(P, **kw); s.f = set(POLICIES[policy].split()); s.name = policy
        s.r = random.Random(s.p['seed']); s.t = 0.; s.q = []; s.n = 0
        s.busy, s.queue, s.active, s.act24 = 0, [], defaultdict(int), defaultdict(int)
        s.live = defaultdict(set)                       # src -> conns in service
        s.block, s.b24, s.hit24, s.seen = {}, {}, defaultdict(set), {}
        s.tok24, s.verdict, s.asked = {}, {}, set()
        s.est, s.floor = 0., [0.] * 3; s.samples = []; s.bots_in = s.drops = 0
        s.legit, s.fps, s.rejnow, s.rejmax, s.rejtot, s.botslots = [], [], 0, 0, 0, 0
        s.got5, s.tried, s.lookups = set(), set(), 0
        if 'notarpit' in s.f: s.p['TARPIT'] = 0
        if 'fast' in s.f: s.p['LAT'] = .02

    def at(s, dt, fn, *a):
        s.n += 1; heapq.heappush(s.q, (s.t + dt, s.n, fn, a))

    def ln(s, med, sig):
        return s.r.lognormvariate(math.log(med), sig)

    # ---------------------------------------------------------------- population
    def populate(s):
        p, r = s.p, s.r
        n = c = 0
        while n < p['NBOT']:                            # heavy-tailed /24 clusters
            c += 1
            for _ in range(min(60, int(r.paretovariate(1.5)))):
                n += 1
                win, u = r.random() < p['BOTWIN'], r.random()
                sched = ONESHOT if u < p['FIRSTONLY'] else HASTY if u < .30 else WINDOWS if win else LINUX
                b = Src('bot', r.random() < p['LISTED'], win, c, sched, r.random() < p['POISON'],
                        r.random() < p['BOTRDNS'])
                if 'long' in s.f and b.listed and r.random() < p['RECUR']: s.block[b] = 1e9
                t = p['W0'] + p['WLEN'] * r.betavariate(2, 3)
                for _ in range(3 if r.random() < .1 else 1):   # 10 % of bots open 3 at once
                    s.at(t, s.attempt, b, Msg(t, min(10, int(r.paretovariate(1.2)))))
        def mta(kind, listed, p24, good):
            win = r.random() < p['NEWWIN']
            return Src(kind, listed, win, p24, WINDOWS if win else r.choice((LINUX, POSTFIX)), good, r.random() < .9)
        pool = [mta('known', False, -1 - i, True) for i in range(1500)]
        for rate, mk, out in ((p['LEGIT'], None, s.legit), (p['FP'], 'fp', s.fps)):
            t = 0.
            while (t := t + r.expovariate(rate)) < p['W0'] + p['WLEN'] + 1200:
                if mk: src = mta('fp', True, 10**6 + len(out), False)
                elif r.random() < p['KNOWN']: src = r.choice(pool)
                elif r.random() < p['NEAR']:            # new IP in a known-good /24 (pool of a provider)
                    src = mta('near', False, -1 - r.randrange(1500), False)
                else:                                   # 5 % of new senders live in a bot's /24
                    src = mta('new', False, r.randrange(c or 1) if r.random() < .05 else 2 * 10**6 + len(out), False)
                m = Msg(t); out.append((m, src)); s.at(t, s.attempt, src, m)

    # ---------------------------------------------------------------- clients
    def attempt(s, src, msg):
        c = Conn(src, msg); msg.tries += 1
        offs, give = src.sched
        c.gives_up = 300 if src.kind != 'bot' else s.ln(20, .8)
        s.tried.add(src)
        s.syn(c, offs, 0, s.t)
        s.at(give, s.leave, c, 'syn')

    def syn(s, c, offs, i, t0):
        if c.state != 'syn': return
        v = s.xdp(c)
        if v == 'rej': c.state = 'done'; s.reject(c); return
        if v and s.kernel(c): return
        s.drops += 1
        if i + 1 < len(offs): s.at(t0 + offs[i + 1] - s.t, s.syn, c, offs, i + 1, t0)

    def failed(s, c, hard=False):                       # the client's next step
        m, src, r = c.msg, c.src, s.r
        if src.kind != 'bot':
            if m.done is None and not hard: s.at(r.uniform(300, 900) * min(4, 1.5 ** (m.tries - 1)), s.attempt, src, m)
        elif not hard and m.tries < 4 and r.random() < .35: s.at(r.uniform(5, 60), s.attempt, src, m)
        elif m.left > 1:
            m.left -= 1; m.tries = 0
            s.at(min(600, 5 * r.paretovariate(1.1)) + r.expovariate(1 / 15), s.attempt, src, m)

    # ---------------------------------------------------------------- XDP (SYN path only)
    def xdp(s, c):
        x, t, f, p = c.src, s.t, s.f, s.p
        if s.block.get(x, 0) > t:
            if 'long' not in f: s.block[x] = t + 600    # sliding, like --update
            return False
        if 'agg' in f and s.b24.get(x.p24, 0) > t: s.b24[x.p24] = t + 600; return False
        first = s.seen.setdefault(x, t)
        if 'dnsbl' in f and x not in s.asked:           # the verdict is ready for the retransmitted SYN
            s.asked.add(x); s.lookups += 1; s.at(s.ln(.3, .7), s.verdict.__setitem__, x, x.listed)
        v = s.verdict.get(x)
        if 'rej' in f and v: return 'rej'
        if 'adm' in f and x.good: s.est += 'fixed' not in f; return True
        if 'grey' in f and t - first < .5: return False
        if 'p24' in f:                                  # 1 token / 20 s, burst 2
            n, last = s.tok24.get(x.p24, (2., t)); n = min(2., n + (t - last) / 20)
            ok = n >= 1; s.tok24[x.p24] = (n - ok, t)
            if not ok: return False
        if 'adm' not in f: return True
        cls, lim = 1, p['TARGET']                       # 0 best .. 2 worst among the unknown
        if 'class' in f:                                # nested limits (trunk reservation)
            if x.kind == 'near': cls = 0                # another IP of this /24 is known good
            elif 'rdns' in f: cls = 2 if v or (v is None and x.win) else 1 if v is None or not x.rdns else 0
            elif 'dnsbl' in f: cls = 2 if v or (v is None and x.win) else 1 if v is None or x.win else 0
            else: cls = 2 if x.win else 1
            if t - first >= p['AGE'] and not v: cls = max(0, cls - 1)   # persistent, as an MTA is
            lim += 4 - 4 * cls
        if 'fixed' in f:
            if s.est >= 1: s.est -= 1; return True
            return False
        if s.est < lim: s.est += 1; return True
        if s.floor[cls] >= 1: s.floor[cls] -= 1; return True
        return False

    def tick(s):                                        # the daemon counts once a second
        s.samples.append((s.t, s.busy, len(s.queue), s.botslots))
        s.est = min(4., s.est + 1) if 'fixed' in s.f else s.busy + len(s.queue)
        s.floor = [min(2., v + .1) for v in s.floor]    # 0.1/s per class: nobody starves
        if s.t < s.p['HORIZON']: s.at(1, s.tick)

    # ---------------------------------------------------------------- server
    def kernel(s, c):
        if s.busy < s.p['SLOTS']: s.serve(c); return True
        if len(s.queue) > s.p['BACKLOG']: return False  # Linux holds backlog + 1
        c.state = 'queued'; s.queue.append(c); s.at(c.gives_up, s.leave, c, 'queued'); return True

    def leave(s, c, state):                             # SYN timeout, or bored in the accept queue
        if c.state == state: c.state = 'dead'; s.failed(c)

    def serve(s, c):
        x, r = c.src, s.r
        s.busy += 1; s.active[x] += 1; s.act24[x.p24] += 1
        s.botslots += x.kind == 'bot'
        dead = c.state == 'dead'
        if not dead and x.kind == 'bot': s.bots_in += 1
        if s.active[x] > s.p['MAXPERIP'] or s.act24[x.p24] > s.p['MAXPERC']:
            s.at(.05, s.free, c)
            if not dead: c.state = 'done'; s.at(.05, s.failed, c)
            return
        slow = x.kind == 'bot' or x.listed
        dns = s.ln(1.5, .8) if slow else s.ln(.4, .6)
        if dead: s.at(dns, s.free, c); return
        c.state = 'service'; s.live[x].add(c)
        pit = lambda k: s.p['TARPIT'] * 8 * (2 ** k - 1)
        u = r.random()
        if x.listed:
            t5 = dns + s.ln(1.5, .6) + pit(1)
            hold = t5 + pit(1 + (u > .85) + (u > .97)) - pit(1) + (600 if r.random() < .005 else s.ln(s.p['REACT'], .8))
            s.at(t5, s.said5xx, c)
        elif x.kind == 'bot': hold = dns + s.ln(6, .7) + pit((u < .5) + (u < .1))
        else: hold = dns + s.ln(5.5, .7)
        if 'allpkt' in s.f and s.block.get(x, 0) > s.t: hold = dns + s.p['READ_TO']
        c.end = s.t + hold; s.at(hold, s.finish, c)

    def said5xx(s, c):
        x = c.src; s.got5.add(x)
        if c.msg.first5xx is None: c.msg.first5xx = s.t
        x.good = False                                  # a 5xx for DNSBL demotes a known-good sender
        if 'block' in s.f: s.at(s.p['LAT'] * (1 if 'fast' in s.f else s.r.random()), s.doblock, x, s.t)

    def doblock(s, x, t5):
        s.block[x] = s.t + (86400 if 'long' in s.f else 600)
        s.hit24[x.p24].add(x)
        if 'agg' in s.f and len(s.hit24[x.p24]) >= 2: s.b24[x.p24] = s.t + 600
        if 'allpkt' in s.f:                             # FIN/QUIT of sessions still open are lost:
            for c in list(s.live[x]): c.end = s.t + s.p['READ_TO']  # courier waits esmtptimeout

    def finish(s, c):
        if s.t < c.end - 1e-9: s.at(c.end - s.t, s.finish, c); return
        s.live[c.src].discard(c); s.free(c)
        if c.src.kind != 'bot':
            if c.msg.done is None: c.msg.done = s.t
        else: s.failed(c, True)

    def free(s, c):
        s.busy -= 1; s.active[c.src] -= 1; s.act24[c.src.p24] -= 1
        s.botslots -= c.src.kind == 'bot'
        if s.queue and s.busy < s.p['SLOTS']: s.serve(s.queue.pop(0))

    def reject(s, c):                                   # tiny async 5xx responder, no courier slot
        s.rejnow += 1; s.rejtot += 1; s.rejmax = max(s.rejmax, s.rejnow)
        s.at(s.ln(1.5, .6), s.rejected, c)

    def rejected(s, c):
        s.rejnow -= 1; s.said5xx(c)
        if c.src.kind == 'bot': s.failed(c, True)
        else: c.msg.done = s.t

    # ---------------------------------------------------------------- run + report
    def run(s):
        s.populate(); s.tick()
        while s.q:
            s.t, _, fn, a = heapq.heappop(s.q)
            if s.t > s.p['HORIZON']: break
            fn(*a)
        return s.report()

    def report(s):
        p = s.p; a, b = p['W0'], p['W0'] + p['WLEN']
        pc = lambda v, q: sorted(v)[min(len(v) - 1, int(q * len(v)))] if v else float('nan')
        win = [x for x in s.samples if a + 60 <= x[0] < b]
        sat = sum(1 for x in s.samples if x[1] >= p['SLOTS'])
        rec = max((x[0] for x in s.samples if x[0] >= b and x[1] >= .9 * p['SLOTS']), default=b) - b
        d, dn, lost = [], [], 0
        for m, x in s.legit:
            if not a <= m.t0 < b: continue
            if m.done is None: lost += 1; continue
            w = m.done - m.t0
            d.append(w)
            if x.kind != 'known': dn.append(w)
        fp = [m.first5xx - m.t0 for m, x in s.fps if a <= m.t0 < b and m.first5xx is not None]
        nofp = sum(1 for m, x in s.fps if a <= m.t0 < b and m.first5xx is None)
        lb = [x for x in s.tried if x.kind == 'bot' and x.listed]
        op = [x[1] + x[2] for x in win]
        return dict(policy=s.name, slots_p95=pc([x[1] for x in win], .95), open_p95=pc(op, .95), open_max=max(op),
                    bot_mean=sum(x[3] for x in win) / len(win), sat=sat, rec=rec, bots_in=s.bots_in, p50=pc(d, .5),
                    p95=pc(d, .95), p99=pc(d, .99), over1=100 * sum(w > 60 for w in d) / len(d),
                    over10=100 * sum(w > 600 for w in d) / len(d), lost=lost, new50=pc(dn, .5), new95=pc(dn, .95),
                    fp95=pc(fp, .95), nofp=nofp, bot5=100 * sum(x in s.got5 for x in lb) / max(1, len(lb)),
                    rejmax=s.rejmax, lookups=s.lookups, drops=s.drops)


COLS = ('slots_p95 open_p95 open_max bot_mean sat rec bots_in p50 p95 p99 over1 over10 lost '
        'new50 new95 fp95 nofp bot5 rejmax lookups drops').split()


def mean(pol, seeds=(1, 2, 3, 4, 5), **kw):
    rs = [Sim(pol, **dict(kw, seed=i)).run() for i in seeds]
    return dict({c: sum(r[c] for r in rs) / len(rs) for c in COLS}, policy=pol)


def row(r, name=None):
    fmt = lambda v: f'{v:.1f}' if isinstance(v, float) and v < 100 else f'{v:.0f}'
    print(f"{name or r['policy']:44s}" + ''.join(f'{fmt(r[c]):>10s}' for c in COLS), flush=True)


if __name__ == '__main__':
    arg = sys.argv[1:]
    print(f"{'policy':44s}" + ''.join(f'{c:>10s}' for c in COLS))
    if arg and arg[0] in POLICIES:
        row(Sim(arg[0], **{k: float(v) if '.' in v else int(v) for k, v in (x.split('=') for x in arg[1:])}).run())
    elif arg and arg[0] == 'sens':
        for kw in (dict(TARGET=24), dict(TARGET=32), dict(BACKLOG=4096), dict(NBOT=5000), dict(NBOT=60000), dict(LISTED=.5),
                   dict(LISTED=.95), dict(KNOWN=.7), dict(BOTWIN=.5), dict(BOTRDNS=.3), dict(POISON=.05), dict(LEGIT=3.0), dict(AGE=300)):
            for pol in ('none', '2009-synonly', 'adm+2009+class', 'adm+class+rejector', 'notarpit+adm+class+rejector+rdns'):
                row(mean(pol, (1, 2, 3), **kw), f"{pol} {kw}".replace("'", ''))
    else:
        for pol in POLICIES: row(mean(pol))
