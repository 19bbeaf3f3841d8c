//! A child that is stepped through an operation, instruction by instruction.

use std::io;

/// What a traced child did when it was let go for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It did one instruction, or came to or from a system call.
    Trap,
    /// It says that it has come to a boundary of the operation.
    Boundary,
    /// It is gone.
    Gone(i32),
}

/// A child under ptrace. Dropping it kills and reaps it.
pub(crate) struct Child {
    pid: i32,
    is_gone: bool,
}

impl Child {
    /// Forks a child that runs `prepare`, stops, runs `act` on what that returned, and stops
    /// again. Returns at the first stop; an error if tracing is not permitted.
    pub(crate) fn fork<T>(prepare: impl FnOnce() -> T, act: impl FnOnce(T)) -> io::Result<Self> {
        // SAFETY: this program has one thread, so the child may run any code.
        #[expect(unsafe_code, reason = "fork")]
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // A panic must not unwind into the parent's frames.
                let unwound = std::panic::AssertUnwindSafe(prepare);
                let Ok(prepared) = std::panic::catch_unwind(unwound) else {
                    std::process::abort()
                };
                let act = std::panic::AssertUnwindSafe(|| act(prepared));
                // SAFETY: plain system calls; `_exit` runs no handlers of the parent's.
                #[expect(unsafe_code, reason = "ptrace, signals, exit")]
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                        libc::_exit(77);
                    }
                    libc::raise(libc::SIGSTOP);
                    if std::panic::catch_unwind(act).is_err() {
                        libc::abort();
                    }
                    libc::raise(libc::SIGSTOP);
                    libc::_exit(0)
                }
            }
            _ => {
                let mut child = Self {
                    pid,
                    is_gone: false,
                };
                match child.wait() {
                    Stop::Boundary => Ok(child),
                    stop => Err(io::Error::other(format!(
                        "the child did not stop to be traced: {stop:?}"
                    ))),
                }
            }
        }
    }

    /// One instruction, whatever it is; a system call is one.
    pub(crate) fn step(&mut self) -> Stop {
        self.go_on(libc::PTRACE_SINGLESTEP)
    }

    /// To the beginning or the end of the next system call.
    pub(crate) fn run_to_syscall(&mut self) -> Stop {
        self.go_on(libc::PTRACE_SYSCALL)
    }

    /// At most `count` instructions.
    pub(crate) fn steps(&mut self, count: usize) -> Stop {
        (0..count)
            .map(|_| self.step())
            .find(|stop| *stop != Stop::Trap)
            .unwrap_or(Stop::Trap)
    }

    /// The process, for those who ask the segment about it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Runs freely to the end of the operation.
    pub(crate) fn run_to_the_end(&mut self) -> Stop {
        self.go_on(libc::PTRACE_CONT)
    }

    fn go_on(&mut self, request: libc::c_uint) -> Stop {
        // SAFETY: the child is ours and stopped; no memory of ours is passed.
        #[expect(unsafe_code, reason = "ptrace")]
        let done = unsafe { libc::ptrace(request, self.pid, 0, 0) };
        assert_eq!(done, 0, "ptrace: {}", io::Error::last_os_error());
        self.wait()
    }

    fn wait(&mut self) -> Stop {
        let mut status = 0;
        // SAFETY: `status` is ours.
        #[expect(unsafe_code, reason = "waitpid")]
        let found = unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) };
        assert_eq!(found, self.pid, "waitpid: {}", io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            self.is_gone = true;
            return Stop::Gone(status);
        }
        match libc::WSTOPSIG(status) {
            libc::SIGTRAP => Stop::Trap,
            libc::SIGSTOP => Stop::Boundary,
            signal => {
                self.end();
                panic!("the child was stopped by signal {signal}")
            }
        }
    }

    /// The address of the next instruction.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn address(&self) -> u64 {
        self.registers().rip
    }

    /// Whether the next instruction is a system call.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_at_a_system_call(&self) -> bool {
        const SYSCALL: u64 = 0x050F;
        self.peek(self.address()) & 0xFFFF == SYSCALL
    }

    /// Whether it is stopped at the beginning of this system call.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_in_system_call(&self, number: libc::c_long) -> bool {
        self.registers().orig_rax == number as u64
    }

    /// Runs until it is about to execute the instruction at `address`. As many single steps would
    /// lead to the same place, in a hundred times the time.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn run_to(&mut self, address: u64) -> Stop {
        const BREAKPOINT: u64 = 0xCC;
        let original = self.peek(address);
        self.poke(address, original & !0xFF | BREAKPOINT);
        match self.go_on(libc::PTRACE_CONT) {
            Stop::Trap => {}
            other => return other,
        }
        self.poke(address, original);
        let mut registers = self.registers();
        assert_eq!(registers.rip, address + 1, "another trap than ours");
        registers.rip = address;
        // SAFETY: the child is ours and stopped; `registers` is ours.
        #[expect(unsafe_code, reason = "ptrace")]
        let done = unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.pid, 0, &raw mut registers) };
        assert_eq!(done, 0, "ptrace: {}", io::Error::last_os_error());
        Stop::Trap
    }

    #[cfg(target_arch = "x86_64")]
    fn registers(&self) -> libc::user_regs_struct {
        let mut registers = std::mem::MaybeUninit::uninit();
        // SAFETY: the child is ours and stopped; the kernel fills in all of `registers`.
        #[expect(unsafe_code, reason = "ptrace")]
        unsafe {
            let done = libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, registers.as_mut_ptr());
            assert_eq!(done, 0, "ptrace: {}", io::Error::last_os_error());
            registers.assume_init()
        }
    }

    /// A word of the child's memory.
    #[cfg(target_arch = "x86_64")]
    fn peek(&self, address: u64) -> u64 {
        // SAFETY: the child is ours and stopped; no memory of ours is passed.
        #[expect(unsafe_code, reason = "ptrace")]
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, address, 0) };
        word as u64
    }

    #[cfg(target_arch = "x86_64")]
    fn poke(&self, address: u64, word: u64) {
        // SAFETY: the child is ours and stopped. Its text is private: only its own copy changes.
        #[expect(unsafe_code, reason = "ptrace")]
        let done = unsafe { libc::ptrace(libc::PTRACE_POKETEXT, self.pid, address, word) };
        assert_eq!(done, 0, "ptrace: {}", io::Error::last_os_error());
    }

    /// Kills the child where it stands; afterwards it is dead for everyone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.is_gone {
            return;
        }
        // SAFETY: the child is ours and not reaped yet, so the number is still its.
        #[expect(unsafe_code, reason = "kill")]
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
        }
        while !matches!(self.wait(), Stop::Gone(_)) {}
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
