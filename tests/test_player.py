"""The player's callbacks are called here, because a notebook would hide their errors."""

import pytest

from dreamgym_nb import course
from dreamgym_nb.course import player
from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import make_world


@pytest.fixture
def shop_player():
    return player.WorldPlayer([make_world("shop"), make_world("house")], seed=1)


def act(widget, action):
    widget.text.value = action
    widget.do.click()


def test_it_starts_with_what_an_agent_sees(shop_player):
    world = shop_player.session.world
    assert world.name == "shop"
    assert world.task.instruction in shop_player.task.value
    assert "search page" in shop_player.page.value
    assert shop_player.actions.options == (("1  search[words]", "search[words]"),)
    assert shop_player.text.value == "search[words]"
    assert "Step 0 of at most 10" in shop_player.status.value
    assert "something of your own for &#x27;words&#x27;" in shop_player.status.value


def test_doing_takes_a_real_step_and_shows_what_it_gave(shop_player):
    act(shop_player, "search[rug]")
    world = shop_player.session.world
    assert world.real_steps == 1
    assert "page 1 of" in shop_player.page.value
    assert [action for _, action in shop_player.actions.options] == world.admissible_actions()
    assert shop_player.text.value == shop_player.actions.value == world.admissible_actions()[0]
    assert "Step 1 of at most 10 · reward 0 · real steps in all: 1." in shop_player.status.value


def test_choosing_copies_into_the_box_and_does_nothing(shop_player):
    act(shop_player, "search[rug]")
    label, action = shop_player.actions.options[3]
    shop_player.actions.value = action
    assert shop_player.text.value == action and label == f"4  {action}"
    assert shop_player.session.world.real_steps == 1


def test_a_blank_that_was_not_filled_in_is_asked_for_again(shop_player):
    shop_player.do.click()
    assert shop_player.session.world.real_steps == 0
    assert "Put something of your own" in shop_player.status.value


def test_a_number_stands_for_the_action_in_the_list(shop_player):
    act(shop_player, "1")
    assert shop_player.text.value == "search[words]", "it has something to be filled in"
    assert shop_player.session.world.real_steps == 0
    act(shop_player, "search[rug]")
    third = shop_player.actions.options[2][1]
    act(shop_player, " 3 ")
    assert shop_player.session.moves[-1].action == third
    act(shop_player, "99")
    assert "There is no action 99" in shop_player.status.value
    assert shop_player.session.world.real_steps == 2


def test_an_impossible_action_is_answered_by_the_world(shop_player):
    act(shop_player, "fly <b>")
    assert "nothing happens:" in shop_player.page.value
    assert "Nothing happened, and the step is counted." in shop_player.status.value


def test_what_is_shown_can_be_changed(shop_player):
    act(shop_player, "search[rug]")
    world = shop_player.session.world
    shop_player.view.value = player.STATE
    assert "results for rug" in shop_player.page.value and 'label="Abstract' in (
        shop_player.page.value
    )
    shop_player.view.value = player.PAST
    assert "search[rug] → page 1" in shop_player.page.value
    shop_player.world.value = "house"
    shop_player.view.value = player.RAW
    assert "Welcome to TextWorld" in shop_player.page.value
    assert world.real_steps == 1


def test_another_world_and_another_task(shop_player):
    shop_player.world.value = "house"
    session = shop_player.session
    assert session.world.name == "house" and "go to" in shop_player.actions.value
    before = session.world.task.id
    shop_player.another.click()
    assert session.world.task.id != before and session.moves == []


def test_the_expert_plays_to_the_end(shop_player):
    shop_player.world.value = "house"
    while not shop_player.session.over:
        shop_player.expert.click()
        assert "expert would do this" in shop_player.status.value
        shop_player.do.click()
    assert "Success: reward 1 (terminated)." in shop_player.status.value
    assert shop_player.actions.options == () and shop_player.text.value == ""
    steps = shop_player.session.world.real_steps
    shop_player.do.click()
    shop_player.expert.click()
    assert "This episode is over" in shop_player.status.value
    assert shop_player.session.world.real_steps == steps


def test_an_error_in_a_callback_is_not_swallowed(shop_player, monkeypatch):
    monkeypatch.setattr(player, "pre", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shop_player.view.value = player.STATE


def test_every_control_has_a_label_and_only_core_widgets_are_used(shop_player):
    controls, names = [], set()

    def walk(widget):
        names.add(type(widget).__name__)
        for child in getattr(widget, "children", ()):
            walk(child)
        if hasattr(widget, "description") and type(widget).__name__ != "HTML":
            controls.append(widget)

    walk(shop_player.widget)
    assert names == {
        "VBox",
        "HBox",
        "HTML",
        "Select",
        "Text",
        "ToggleButtons",
        "Button",
    }
    assert len(controls) == 7 and all(c.description for c in controls)
    assert not any(getattr(c, "disabled", False) for c in controls), "focus would be thrown away"


def test_show_says_that_a_saved_page_is_dead(shop_player, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things: shown.extend(things))
    shop_player.show()
    assert "while the notebook is running" in shown[0].data and shown[1] is shop_player.widget


def test_worlds_are_needed_and_their_names_differ():
    with pytest.raises(UserError, match="at least one world"):
        player.WorldPlayer([])
    with pytest.raises(UserError, match="no two of the same name"):
        player.WorldPlayer([make_world("shop"), make_world("shop", seed=1)])


def test_the_course_offers_it():
    assert course.WorldPlayer is player.WorldPlayer
