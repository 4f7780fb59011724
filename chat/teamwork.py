"""A team's answer: its members' runs are begun, listened to, and told in one text in which each says who speaks.

Members speak at the same time, and are told one after another: one has the floor and is told as it speaks, what others
say meanwhile is told when their turn comes, so that whoever reads text alone reads whole answers. A member that waits
for people leaves the floor; when all wait, the team's run waits with them and lets go of its worker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agents import teams
from agents.events import (
    TERMINAL,
    ApprovalDecided,
    ApprovalRequested,
    Compacted,
    Event,
    MemberEnded,
    ProviderChanged,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Snapshot,
    Speaker,
    Status,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
    added,
)
from agents.teams import Said
from chat import limits, transcript
from chat.following import follow
from chat.models import ENDED
from chat.services import families, nesting
from chat.services.leases import Claim
from chat.services.nesting import Asked
from chat.transcript import Part
from chat.writer import RunLog
from core import bridge
from core.errors import DomainError

PAST = 8_000  # characters of the conversation's past that members are told
PASSED_ON = (ToolProposed, ToolStarted, ToolFinished, ApprovalRequested, ApprovalDecided)
HEADED = {teams.VOTE: " votes", teams.SUMMARY: " sums up"}

Undisturbed = Callable[[Awaitable[Any]], Awaitable[Any]]


class TeamFailed(DomainError):
    """Not one of the members answered."""

    code = "team_failed"
    title = "No member of the team answered"


@dataclass(slots=True)
class Voice:
    """A member's run as far as it was heard (`text`, up to event `after`) and told (`told` characters of it)."""

    asked: Asked
    text: str = ""
    told: int = 0
    after: int = 0
    waits: bool = False
    ended: bool = False
    error: str = ""
    done: bool = False  # told to its end

    @property
    def speaker(self) -> Speaker:
        """Who this is, for those who watch."""
        prompt = self.asked.prompt
        return Speaker(prompt.agent.agent_id, prompt.agent.name, prompt.role, prompt.place)

    @property
    def news(self) -> bool:
        """Whether there is anything to tell of it."""
        return not self.done and (len(self.text) > self.told or self.ended)


class Teamwork:
    """One attempt at a team's answer; `usage` is what its members took."""

    def __init__(self, claim: Claim, log: RunLog, undisturbed: Undisturbed, deadline: float) -> None:
        assert claim.team is not None, "a team's run says how it answers"
        self.usage: Usage | None = None
        self._claim, self._log, self._deadline = claim, log, deadline
        self._undisturbed = undisturbed
        self._plan = claim.team
        said = "\n\n".join(f"{one.role}: {one.content}" for one in claim.messages[:-1])[-PAST:]
        self._team = nesting.team_of(claim.team, claim.messages[-1].content, said)
        self._told = list(claim.parts)
        self._voices: list[Voice] = []
        self._floor: Voice | None = None
        self._last = ""  # the place of who was told last
        self._news: asyncio.Queue[tuple[Voice, int, Event]] = asyncio.Queue()

    async def work(self) -> bool:
        """Let the members answer until the answer is whole; False where they wait for people, or it is not ours.

        Raises TeamFailed where nobody answered, and a kind of DomainError where the team took too much.
        """
        if not self._told:
            members = [{"agent_id": one.agent_id, "agent_name": one.name} for one in self._team.members]
            part = {"type": "team", "mode": self._team.mode, "members": members}
            self._log.tell(TeamBegan(self._team.mode, members), part)
        heard: list[Said] = []
        while prompts := teams.next_prompts(self._team, heard):
            claim = self._claim
            taken = await bridge.in_thread(families.taken, claim.run_id, but=claim.run_id)
            limits.check(0, taken, self._deadline)
            begun = bridge.in_slow_thread(
                nesting.ask, claim.run_id, claim.attempt, prompts, model=self._plan.get("model", "")
            )
            asked = await self._undisturbed(begun)
            if asked is None or not await self._listen(asked):
                return False
            heard += [Said(one.asked.prompt, one.text, one.error) for one in self._voices]
        if not teams.candidates(heard):
            why = ", ".join(f"{one.prompt.agent.name}: {one.error}" for one in heard)
            raise TeamFailed(f"No member of the team answered. {why}.")
        return True

    async def _listen(self, asked: Sequence[Asked]) -> bool:
        """Hear these agents to their ends; False where all that go on wait for people, and the run with them."""
        self._voices, self._floor = [self._voice(one) for one in asked], None
        for voice in self._voices:
            if voice.asked.run_id is None:
                voice.ended, voice.error = True, voice.asked.error
            elif voice.done or voice.asked.state in ENDED:
                await self._end(voice, voice.asked.run_id)
        following = [asyncio.create_task(self._follow(one)) for one in self._voices if not one.ended]
        try:
            self._tell()
            while any(not voice.ended for voice in self._voices):
                if self._news.empty() and await self._hold():
                    return False
                await self._hear()
                self._tell()
            return True
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            self._news = asyncio.Queue()

    def _voice(self, asked: Asked) -> Voice:
        """A member as far as it was told before the run waited."""
        its = [part for part in self._told if part.get("place") == asked.prompt.place]
        text = transcript.text(its)
        after = self._plan.get("heard", {}).get(str(asked.run_id), 0) if its else 0
        done = any(part["type"] == "member" for part in its)
        return Voice(asked, text=text, told=len(text), after=after, done=done)

    async def _follow(self, voice: Voice) -> None:
        batches = follow(str(voice.asked.run_id), after=voice.after, wait=None)
        async with aclosing(batches):
            async for batch in batches:
                for seq, event in batch:
                    self._news.put_nowait((voice, seq, event))

    async def _hear(self) -> None:
        """Take the next event of whichever member, waiting for it as long as the run may take."""
        try:
            async with asyncio.timeout_at(self._deadline):
                voice, seq, event = await self._news.get()
        except TimeoutError:
            limits.check_wall(self._deadline - 1)
            raise
        voice.after = max(voice.after, seq)
        if not isinstance(event, ApprovalRequested | ApprovalDecided):
            voice.waits = isinstance(event, RunWaiting)
        match event:
            case TextDelta():
                voice.text += event.text
            case Snapshot():
                self._begin_anew(voice, event.text)
            case RunStarted() | RunRestarted():
                self._begin_anew(voice, "")
            case Status() | ProviderChanged():  # by a member: the answer stays the team's
                self._log.append(Status(f"{voice.asked.prompt.agent.name}: {event.label}"))
            case Compacted():
                told = f"{event.messages} older messages are summarised"
                self._log.append(Status(f"{voice.asked.prompt.agent.name}: {told}"))
            case _ if isinstance(event, PASSED_ON):
                self._log.append(event)
            case _ if isinstance(event, TERMINAL) and voice.asked.run_id:
                await self._end(voice, voice.asked.run_id)

    async def _end(self, voice: Voice, run_id: UUID) -> None:
        """Note how a member's run ended, as it was stored."""
        text, voice.error, usage = await bridge.in_thread(nesting.outcome_of, run_id)
        voice.ended, voice.waits = True, False
        self.usage = added(self.usage, Usage(**usage)) if usage else self.usage
        if not voice.done:
            self._begin_anew(voice, text)

    def _begin_anew(self, voice: Voice, text: str) -> None:
        """What the member says is this text so far; readers who were told otherwise are told all anew."""
        if text.startswith(voice.text[: voice.told]):
            voice.text = text
            return
        self._log.settle()
        kept = [part for part in self._log.draft() if part.get("place") != voice.asked.prompt.place]
        self._log.begin_anew(RunRestarted(self._claim.attempt, "member_restarted"))
        for part in kept:
            self._repeat(part)
        voice.text, voice.told = text, 0
        self._floor = None if self._floor is voice else self._floor

    def _repeat(self, part: Part) -> None:
        fields = {name: part[name] for name in Speaker.__struct_fields__} if "place" in part else {}
        match part["type"]:
            case "text":
                self._log.append(TextDelta(part["text"], Speaker(**fields) if fields else None))
            case "team":
                self._log.tell(TeamBegan(part["mode"], part["members"]), part)
            case "member":
                self._log.tell(MemberEnded(**fields, run_id=part["run_id"], error=part["error"]), part)

    def _tell(self) -> None:
        """Tell all that can be told now: of who has the floor, then of the next who has anything to say."""
        while True:
            voice = self._floor or next((one for one in self._voices if one.news), None)
            if voice is None:
                return
            self._floor = voice
            if voice.news:
                self._head(voice)
            if len(voice.text) > voice.told:
                self._log.append(TextDelta(voice.text[voice.told :], voice.speaker))
                voice.told = len(voice.text)
            if voice.ended and not voice.done:
                self._tell_end(voice)
            if not (voice.done or voice.waits):
                return
            self._floor = None

    def _head(self, voice: Voice) -> None:
        """Say who speaks, where that is somebody else than before."""
        place = voice.asked.prompt.place
        if self._last == place or self._team.mode == "expert":
            return
        role = HEADED.get(voice.asked.prompt.role, "")
        self._log.append(
            TextDelta(f"{chr(10) * 2 if self._last or self._told else ''}**{voice.speaker.agent_name}{role}**\n\n")
        )
        self._last = place

    def _tell_end(self, voice: Voice) -> None:
        voice.done = True
        if voice.error and not voice.text:
            self._log.append(TextDelta(f"(no answer: {voice.error})"))
        fields = {name: getattr(voice.speaker, name) for name in Speaker.__struct_fields__}
        run_id = str(voice.asked.run_id) if voice.asked.run_id else None
        part = {"type": "member", **fields, "run_id": run_id, "error": voice.error}
        self._log.tell(MemberEnded(**fields, run_id=run_id, error=voice.error), part)

    async def _hold(self) -> bool:
        """Let the run wait where all members that go on wait for people; True where it does now."""
        open_ = [voice for voice in self._voices if not voice.ended]
        if not all(voice.waits for voice in open_):
            return False
        self._log.settle()
        heard = {str(voice.asked.run_id): voice.after for voice in open_}
        held = await self._undisturbed(
            bridge.in_thread(
                families.hold,
                self._claim.run_id,
                self._claim.attempt,
                seq=self._log.seq,
                parts=self._log.draft(),
                tell=False,
                team={**self._plan, "heard": heard},
            )
        )
        if held is None:  # somebody goes on already: what comes of it is news
            self._log.go_on()
            for voice in open_:
                voice.waits = False
            return False
        waiting = [str(one.approval_id) for one in held]
        claim = self._claim
        self._log.append(RunWaiting(waiting, transcript.text(self._log.draft()), claim.provider, claim.model))
        return True
